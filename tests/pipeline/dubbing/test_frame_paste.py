"""Crops of stored planes, and mouths pasted into them, are those of the converted pictures."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dubbing.blend import blend_frames
from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.frame_paste import FramePaster
from pipeline.dubbing.paste import paste_mouth
from pipeline.dubbing.path_crops import PathCropper
from pipeline.media.picture import YuvPicture, to_bgr
from tests.support.stored_pictures import HEIGHT, WIDTH, smooth, stored

BOXES = {
    "inside": [30.3, 10.7, 91.1, 78.5],
    "small": [50.0, 30.5, 74.0, 57.0],
    "beyond two sides": [-20.0, 44.5, 50.5, 125.0],
    "beyond all sides": [-9.0, -20, 140, 130],
}
TINT = np.array([4, -3, 6], np.float32)


def followed(box: list[float], roll: float) -> Followed:
    return Followed(np.array([box]), np.array([roll]), ())


def mouth(size: int = 96) -> np.ndarray:
    """A smooth image with other colours than the picture."""
    y, x = np.mgrid[:size, :size] / size
    waves = [np.cos(5 * x), np.sin(4 * y + 1), np.cos(6 * x * y)]
    return np.asarray((127 + 90 * np.stack(waves, axis=-1)).round(), np.uint8)


@pytest.mark.parametrize("space", [1, 6])
@pytest.mark.parametrize("roll", [0.0, 25.0])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_crop_of_the_planes_is_that_of_the_picture(box: list[float], roll: float, space: int) -> None:
    picture = stored(smooth(space=space))
    cut = PathCropper(followed(box, roll), 96)
    difference = np.abs(cut(picture, 0).astype(int) - cut(to_bgr(picture), 0))
    assert np.quantile(difference, 0.95) <= 2 and difference.mean() < 1  # more at the border of the picture


@pytest.mark.parametrize("space", [1, 6])
@pytest.mark.parametrize(("roll", "share"), [(0.0, 1.0), (25.0, 1.0), (0.0, 0.3)])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_a_mouth_in_the_planes_is_nearer_to_that_in_the_picture_than_its_conversion(
    box: list[float], roll: float, share: float, space: int
) -> None:
    picture = stored(smooth(space=space))
    before = to_bgr(picture)
    changed = FramePaster(followed(box, roll), HEIGHT, WIDTH)(picture, 0, mouth(), TINT, None, share)
    assert isinstance(changed, YuvPicture)
    expected = blend_frames(before, paste_mouth(before, mouth(), np.array(box), TINT, roll), share)
    converted = to_bgr(YuvPicture(picture.convert.frame(expected), picture.convert))
    is_changed = (expected != before).any(axis=2)
    errors = [np.abs(image.astype(int) - expected)[is_changed].mean() for image in (to_bgr(changed), converted)]
    assert 0 < errors[0] < errors[1]
    far = np.abs(np.arange(HEIGHT)[:, None] - np.flatnonzero(is_changed.any(axis=1))).min(axis=1) > 2
    np.testing.assert_array_equal(changed.plane(0)[far], picture.plane(0)[far])
    np.testing.assert_array_equal(to_bgr(picture), before)


def test_a_box_outside_the_picture_changes_nothing() -> None:
    picture = stored(smooth())
    changed = FramePaster(followed([200.0, 10, 260, 70], 0), HEIGHT, WIDTH)(picture, 0, mouth(), TINT, None, 1.0)
    np.testing.assert_array_equal(changed.planes, picture.planes)  # type: ignore[union-attr]


def test_a_large_mouth_is_reduced_before_it_is_pasted() -> None:
    picture = stored(smooth())
    paste = FramePaster(followed(BOXES["inside"], 0), HEIGHT, WIDTH)
    large, small = (paste(picture, 0, mouth(size), TINT, None, 1.0) for size in (192, 96))
    assert np.abs(large.planes.astype(int) - small.planes).max() <= 4  # type: ignore[union-attr]


def test_a_refined_mouth_is_that_of_the_picture() -> None:
    picture = stored(smooth())
    box = BOXES["inside"]
    expected = paste_mouth(to_bgr(picture), mouth(), np.array(box), TINT)
    paste = FramePaster(followed(box, 0), HEIGHT, WIDTH)
    changed = paste(picture, 0, mouth(), TINT, lambda generated, shown, area: generated, 1.0)
    assert np.abs(to_bgr(changed).astype(int) - expected).mean() < 0.5
