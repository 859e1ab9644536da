"""Faces on their side and upside down: the real detector, and positions in turned frames."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.detector import YuNetDetector
from pipeline.faces.turns import turned_boxes, turned_points, turns_of
from tests.support.drawn_face import draw_face

UPRIGHT = np.array([[30.0, 40], [70, 40], [50, 60], [35, 80], [65, 80]])


@pytest.mark.parametrize(
    ("degrees", "turns"), [(0, 0), (40, 0), (-40, 0), (50, 1), (90, 1), (130, 1), (180, 2), (-90, 3)]
)
def test_a_roll_to_the_right_needs_turns_to_the_left(degrees: float, turns: int) -> None:
    angle = np.radians(degrees)
    rolled = UPRIGHT @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert turns_of(rolled) == turns


def test_a_profile_has_a_roll_and_no_face_has_none() -> None:
    profile = UPRIGHT.copy()
    profile[:, 0] = [62, 58, 70, 60, 60]  # the far eye seems to be on the wrong side of the near one
    assert turns_of(profile) == 0
    assert turns_of(np.full((3, 5, 2), np.nan)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("turns", range(-3, 4))
def test_positions_go_with_the_frame(turns: int) -> None:
    frame = np.zeros((30, 50), np.uint8)
    frame[4:9, 11:20] = 1
    rows, columns = np.nonzero(np.rot90(frame, turns))
    box = turned_boxes(np.array([[11.0, 4, 20, 9]]), turns, (50, 30))
    np.testing.assert_array_equal(box, [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]])
    there = turned_points(UPRIGHT, turns, (50, 30))
    size = (50, 30) if turns % 2 == 0 else (30, 50)
    np.testing.assert_array_equal(turned_points(there, -turns, size), UPRIGHT)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("size", [160, 400])
def test_the_detector_finds_a_turned_face_as_it_is(turns: int, size: int) -> None:
    """The frame is wider than the detector's input."""
    detector = YuNetDetector(max_px=160)
    (upright,) = detector.detect(draw_face(size / 2, size / 2, size / 4, size))
    turned_frame = np.ascontiguousarray(np.rot90(draw_face(size / 2, size / 2, size / 4, size), -turns))
    (found,) = detector.detect(turned_frame)
    assert turns_of(found.landmarks) == turns
    np.testing.assert_allclose(turned_points(found.landmarks, turns, (size, size)), upright.landmarks, atol=size / 40)
    np.testing.assert_allclose(turned_boxes(found.box, turns, (size, size)), upright.box, atol=size / 40)
