"""Colours of single pixels, against FFmpeg's conversion."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.picture import YuvConverter, YuvPicture, to_bgr
from pipeline.media.yuv_matrix import CHROMA_LIMITS, LUMA_LIMITS, YuvMatrix

CORNERS = [[blue, green, red] for blue in (0, 255) for green in (0, 255) for red in (0, 255)]
COLOURS = np.array([*CORNERS, [90, 120, 190]], np.uint8)
SIDE = 8


@pytest.mark.parametrize("matrix", [1, 6])
def test_pixels_are_converted_as_by_ffmpeg(matrix: int) -> None:
    image = np.repeat(np.repeat(COLOURS[None], SIDE, axis=0), SIDE, axis=1)
    convert = YuvConverter(matrix)
    picture = YuvPicture(convert.frame(image), convert)
    of_pixels = YuvMatrix(is_bt709=matrix == 1)
    found = of_pixels.yuv(image.astype(np.float32))
    middles, of_colour = slice(SIDE // 2, None, SIDE), slice(SIDE // 4, None, SIDE // 2)
    stored = np.stack([picture.plane(0)[1, middles], *(picture.plane(k)[1, of_colour] for k in (1, 2))], axis=-1)
    assert np.abs(found[1, middles] - stored).max() < 1
    planes = [np.ascontiguousarray(stored[None, :, k]) for k in range(3)]
    assert np.abs(of_pixels.bgr(*planes)[0].astype(int) - to_bgr(picture)[1, middles]).max() <= 2


def test_the_limits_are_those_of_the_colours_that_can_be_shown() -> None:
    yuv = YuvMatrix(is_bt709=True).yuv(COLOURS[None].astype(np.float32))[0]
    for values, limits in ((yuv[:, 0], LUMA_LIMITS), (yuv[:, 1:], CHROMA_LIMITS)):
        np.testing.assert_allclose([values.min(), values.max()], limits, atol=1e-3)


def test_values_that_are_no_colour_become_the_nearest_one() -> None:
    planes = (np.full((1, 1), value, np.uint8) for value in (255, 0, 255))
    bgr = YuvMatrix(is_bt709=False).bgr(*planes)
    assert bgr.dtype == np.uint8 and bgr[0, 0, 0] < 30 and bgr[0, 0, 2] == 255
