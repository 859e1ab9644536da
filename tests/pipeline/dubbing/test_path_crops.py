"""The parts of frames that contain the faces."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.path_crops import MARGIN_PX, FaceWindows, PathCropper
from tests.support.dub_scenes import HEIGHT, WIDTH, picture


@pytest.mark.parametrize("roll", [0.0, 30.0, 90.0])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_crop_of_the_part_is_that_of_the_frame(roll: float, scale: int) -> None:
    frame = np.repeat(np.repeat(picture(3), scale, axis=0), scale, axis=1)
    height, width = frame.shape[:2]
    boxes = np.array([[30.2, 10.1, 90.4, 70.3], [-20.0, -9, 30, 41], [np.nan] * 4, [95, 60, 140.5, 105.5]])
    rolls = np.array([roll, roll, 0, roll])
    followed = Followed(boxes, rolls, ())
    windows = FaceWindows(followed, height, width)
    sizes = set()
    whole, part = PathCropper(followed, 96), PathCropper(Followed(windows.boxes, rolls, ()), 96)
    for index in (0, 1, 3):
        rows, columns = windows[index]
        assert rows.start % 2 == columns.start % 2 == 0
        assert 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width
        sizes.add((rows.stop - rows.start, columns.stop - columns.start))
        np.testing.assert_array_equal(part(frame[rows, columns], index), whole(frame, index))
        if roll == 0:
            x0, y0, x1, y1 = boxes[index]
            assert columns.start <= max(0, x0 - MARGIN_PX) and columns.stop >= min(width, x1 + MARGIN_PX)
            assert rows.start <= max(0, y0 - MARGIN_PX) and rows.stop >= min(height, y1 + MARGIN_PX)
    assert len(sizes) == 1


def test_no_face_at_all() -> None:
    windows = FaceWindows(Followed(np.full((2, 4), np.nan), np.zeros(2), ()), HEIGHT, WIDTH)
    assert np.isnan(windows.boxes).all()
