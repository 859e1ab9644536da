"""Conversion of decoded frames to BGR."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.media import colour
from pipeline.media.colour import BgrConverter


def noise(pixel_format: str, width: int, height: int, colour_space: int, colour_range: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, pixel_format)
    frame.colorspace, frame.color_range = colour_space, colour_range
    random = np.random.default_rng(0)
    for plane in frame.planes:
        plane.update(random.integers(0, 256, plane.buffer_size, dtype=np.uint8).tobytes())
    return frame


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (62, 50), (33, 27), (36, 27), (33, 28), (1282, 62)])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(9, 10)])
def test_the_fast_conversion_gives_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, pixel_format: str, width: int, height: int, aspect: Fraction
) -> None:
    frames = [noise(pixel_format, width, height, space, span) for space in (1, 2, 5, 9) for span in (0, 1, 2)]
    found = [BgrConverter(aspect, print)(frame) for frame in frames]
    monkeypatch.setattr(colour, "_PLANAR_YUV", frozenset())
    expected = [BgrConverter(aspect, print)(frame) for frame in frames]
    for one, other in zip(found, expected, strict=True):
        assert one.flags.c_contiguous
        np.testing.assert_array_equal(one, other)


def test_a_frame_of_another_size_is_resized_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [noise("yuv420p", 64, 48, 1, 1), noise("yuv420p", 32, 24, 1, 1)]
    convert = BgrConverter(Fraction(1), print)
    found = [convert(frame) for frame in frames]
    monkeypatch.setattr(colour, "_PLANAR_YUV", frozenset())
    convert = BgrConverter(Fraction(1), print)
    for one, frame in zip(found, frames, strict=True):
        np.testing.assert_array_equal(one, convert(frame))
