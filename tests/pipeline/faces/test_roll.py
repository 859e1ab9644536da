"""Rolled faces: the measured roll, smooth crops that are aligned to it, and upright faces as before."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.faces.any_roll import AnyRollDetector
from pipeline.faces.crops import Cropper, crop_boxes
from pipeline.faces.detector import Detection, YuNetDetector
from pipeline.faces.roll import rolled_boxes, rotated, smooth_rolled_faces
from pipeline.faces.smooth import smooth_faces
from pipeline.faces.track import FaceTrack
from pipeline.faces.turns import rolls_of
from tests.support.drawn_face import draw_face

UPRIGHT = np.array([[30.0, 40], [70, 40], [50, 60], [35, 80], [65, 80]])
CENTRE = np.array([50.0, 58])
BOX = np.array([20.0, 18, 80, 98])


def track_of(rolls: np.ndarray) -> FaceTrack:
    """A face at these rolls, as the detector of rolled faces states it: its box has the upright sides."""
    boxes, landmarks = np.tile(BOX, (len(rolls), 1)), []
    for index, roll in enumerate(rolls):
        landmarks.append(rotated(UPRIGHT, CENTRE, roll))
        if round(roll / 90) % 2:
            boxes[index] = [10, 28, 90, 88]
    return FaceTrack(boxes, np.array(landmarks), np.ones(len(rolls)))


@pytest.mark.parametrize("roll", [-170.0, -90, -31, 0, 12, 45, 90, 180])
def test_the_roll_of_landmarks(roll: float) -> None:
    assert float(rolls_of(rotated(UPRIGHT, CENTRE, roll))) == pytest.approx(roll)


def test_nearly_upright_faces_are_cut_out_as_before() -> None:
    track = track_of(7 * np.sin(np.arange(60) / 9))
    faces, rolls = smooth_rolled_faces(track, 15)
    np.testing.assert_array_equal(faces, smooth_faces(track, 15))
    assert not rolls.any()


@pytest.mark.parametrize("roll", [-120.0, -50, 30, 45, 90, 135, 180])
def test_a_rolled_face_has_the_crop_of_the_upright_one(roll: float) -> None:
    faces, rolls = smooth_rolled_faces(track_of(np.full(40, roll)), 15)
    expected, _ = smooth_rolled_faces(track_of(np.zeros(40)), 15)
    np.testing.assert_allclose(faces, expected, atol=1e-6)
    np.testing.assert_allclose((rolls - roll + 180) % 360, 180, atol=1e-6)


def test_a_head_that_turns_over_keeps_its_crop_without_a_jump() -> None:
    """Through all right angles, with a glitch of two frames and a gap."""
    turning = np.arange(0, 300, 3.0)
    track = track_of(turning)
    track.landmarks[50:52] = rotated(UPRIGHT, CENTRE, turning[50] + 180)
    track.boxes[70:74], track.landmarks[70:74] = np.nan, np.nan
    faces, rolls = smooth_rolled_faces(track, 9)
    apart = np.abs((rolls[8:] - turning[8:] + 180) % 360 - 180)
    assert apart.max() < 2
    assert np.abs(np.diff(faces, axis=0)).max() < 0.5


@pytest.mark.parametrize("roll", [20.0, 45, 100, -135])
def test_the_crop_of_a_rolled_face_shows_it_upright(roll: float) -> None:
    upright = draw_face(80, 76, half=30)
    angle = cv2.getRotationMatrix2D((79.5, 79.5), -roll, 1)
    frame = cv2.warpAffine(upright, angle, (160, 160), flags=cv2.INTER_CUBIC, borderValue=(120, 110, 100))
    faces = np.array([[80.0, 76, 30, 22, 30]])
    boxes = crop_boxes(faces, "square")
    expected = Cropper(boxes, 64)(upright, 0).astype(int)
    centre = rotated(faces[:, :2], np.array([80.0, 80]), roll)
    there = np.concatenate([centre, faces[:, 2:]], axis=1)
    rolls = np.array([roll])
    crop = Cropper(rolled_boxes(crop_boxes(there, "square"), there, rolls), 64, rolls=rolls)(frame, 0).astype(int)
    assert np.abs(crop - expected).mean() < 2


@pytest.mark.parametrize("roll", range(-165, 181, 30))
def test_the_detector_measures_any_roll(roll: int) -> None:
    angle = cv2.getRotationMatrix2D((119.5, 119.5), -roll, 1)
    frame = cv2.warpAffine(draw_face(120, 116, size=240), angle, (240, 240), borderValue=(120, 110, 100))
    plain = YuNetDetector(max_px=160)
    (upright,) = plain.detect(draw_face(120, 116, size=240))
    (found,) = AnyRollDetector(plain).detect(np.asarray(frame, np.uint8))
    reduced = np.asarray(cv2.resize(frame, (160, 160), interpolation=cv2.INTER_AREA), np.uint8)
    (again,) = AnyRollDetector(plain).detect_reduced(reduced, lambda: np.asarray(frame, np.uint8))
    assert np.abs(again.box * 1.5 - found.box).max() < 4
    assert abs((float(rolls_of(again.landmarks) - rolls_of(found.landmarks)) + 180) % 360 - 180) < 4
    sides, expected = found.box[2:] - found.box[:2], upright.box[2:] - upright.box[:2]
    if abs(roll) % 90 == 45:  # either side of the box may be the longer one
        sides, expected = np.sort(sides), np.sort(expected)
    elif round(roll / 90) % 2:
        expected = expected[::-1]
    np.testing.assert_allclose(sides, expected, rtol=0.15)
    centre = rotated((upright.box[:2] + upright.box[2:]) / 2, np.array([120.0, 120]), roll)
    np.testing.assert_allclose((found.box[:2] + found.box[2:]) / 2, centre, atol=8)
    assert abs((float(rolls_of(found.landmarks)) - roll + 180) % 360 - 180) < 8 + 8 * (abs(roll) == 15)


def test_the_roll_of_a_face_that_stays_is_measured_once() -> None:
    """It is not level, but its roll is small."""
    plain = YuNetDetector(max_px=160)
    frames = [draw_face(80 + shift, 76, size=160) for shift in (0, 1, 2)]
    turned = [
        np.asarray(cv2.warpAffine(frame, cv2.getRotationMatrix2D((79.5, 79.5), -roll, 1), (160, 160)), np.uint8)
        for roll, frame in zip((4.0, 4.0, 25.0), frames, strict=True)
    ]

    def num_searches(detector: AnyRollDetector, frame: np.ndarray) -> int:
        calls = []
        patch = detector._patch_detector
        detector._patch_detector = Counted(patch, calls)  # type: ignore[assignment]
        (found,) = detector.detect_reduced(frame, lambda: frame)
        (expected,) = AnyRollDetector(plain).detect(frame)
        np.testing.assert_allclose(found.box, expected.box, atol=2)
        detector._patch_detector = patch
        return len(calls)

    detector = AnyRollDetector(plain).of_video()
    numbers = [num_searches(detector, frame) for frame in turned]
    assert numbers[0] > 0 and numbers[1] == 0 and numbers[2] > 0
    assert num_searches(detector.of_video(), turned[0]) > 0


class Counted:
    def __init__(self, detector: YuNetDetector, calls: list[None]) -> None:
        self._detector, self._calls = detector, calls

    def upright(self, image: np.ndarray) -> list[Detection]:
        self._calls.append(None)
        return self._detector.upright(image)
