"""Finds faces at any roll, and measures the roll.

YuNet finds no face that is rolled by about 45 degrees, and its landmarks show a small part of a roll. Its score is
highest where the face is upright, so the roll is measured by rotating the face's surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.crops import BORDER_VALUE, Cropper
from pipeline.faces.detector import (
    SURE_SCORE,
    Detection,
    FaceDetector,
    YuNetDetector,
    box_iou,
    detectors_by_zoom,
    larger_detectors,
)
from pipeline.faces.gaps import GapDetector
from pipeline.faces.roll import rotated
from pipeline.faces.turns import rolls_of, turns_of

STEP_DEGREES = 15
ROTATED_PX = 64
"""Side of the rotated surroundings. The score of small faces falls faster with the roll than that of large ones."""
SURROUNDINGS = 2.2
"""Side of the surroundings, in longer sides of the face's box."""
LEVEL_DEGREES = 1.5
"""Faces with a smaller roll of the landmarks and a score of at least SURE_SCORE are upright, and not measured."""
KEPT_DEGREES = 10.0  # faces that are rolled by less are returned as the detector found them
NEARLY_LEVEL_DEGREES = 5.0
"""A face with a smaller measured roll is not measured again while it looks the same: box and roll of the landmarks."""
_SAME_IOU, _SAME_DEGREES = 0.8, 1.0
MIN_SHRINKING = 1.5
"""A roll is measured in a reduced frame if the surroundings are shrunk further by this factor or more."""
_LEAST_SCORE = 0.3
_DIAGONAL = float(np.sqrt(2))
_UNROTATED_PX = round(ROTATED_PX * _DIAGONAL)
SLANTS = (45, -45, 135, -135)
"""The rolls at which YuNet finds no face, degrees."""


class AnyRollDetector:
    """Detects like ``detector``, and faces at other rolls. Boxes and landmarks of rolled faces are true to the roll.

    The box of a rolled face has the sides of the upright face, turned by the nearest right angle, about its centre.
    ``slants``: the rolls that are tried if no face is found, degrees.
    """

    def __init__(self, detector: YuNetDetector, slants: Sequence[int] = SLANTS) -> None:
        self._detector, self._slants = detector, slants
        self._patch_detector = YuNetDetector(_LEAST_SCORE, ROTATED_PX)
        self._nearly_level: Sequence[Detection] = ()

    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        """Faces in ``frame_bgr: uint8 [H, W, 3]``, best first."""
        return [face for face, _ in self._at_any_roll(frame_bgr, self._detector.detect(frame_bgr))]

    def of_video(self) -> Self:
        """As of `ReducedDetector`."""
        fresh = copy(self)
        fresh._nearly_level = ()
        return fresh

    @property
    def max_px(self) -> int:
        return self._detector.max_px

    def detect_reduced(self, reduced_bgr: NDArray[np.uint8], whole: Callable[[], NDArray[np.uint8]]) -> list[Detection]:
        """As of `ReducedDetector`. The whole frame is needed if a small face may be rolled, or if there is none.

        A face that looks as it did when its roll was measured to be small is not measured again.
        """
        found = self._detector.detect(reduced_bgr)
        if found and all(_is_level(face) or self._is_nearly_level(face) for face in found):
            return found
        if found and all(_is_level(face) or _is_large(face) for face in found):
            measured = self._at_any_roll(reduced_bgr, found)
        else:
            frame = whole()
            scale = np.array(frame.shape[1::-1]) / reduced_bgr.shape[1::-1]
            at_roll = self._at_any_roll(frame, [_scaled(face, scale) for face in found])
            measured = [(_scaled(face, 1 / scale), roll) for face, roll in at_roll]
        rolls = [roll for _, roll in measured] if found else []
        self._nearly_level = [face for face, roll in zip(found, rolls, strict=True) if abs(roll) < NEARLY_LEVEL_DEGREES]
        return [face for face, _ in measured]

    def _is_nearly_level(self, face: Detection) -> bool:
        stated = float(rolls_of(face.landmarks))
        return face.score >= SURE_SCORE and any(
            box_iou(face.box, known.box) >= _SAME_IOU and abs(stated - float(rolls_of(known.landmarks))) < _SAME_DEGREES
            for known in self._nearly_level
        )

    def _at_any_roll(self, frame: NDArray[np.uint8], found: list[Detection]) -> list[tuple[Detection, float]]:
        """``found``, or if empty the faces at a slant, with their rolls in degrees: infinite if it is not found."""
        for slant in self._slants:
            if found:
                break
            found = self._slanted(frame, slant)
        return [self._measured(frame, face) for face in found]

    def _slanted(self, frame: NDArray[np.uint8], degrees: int) -> list[Detection]:
        """Faces that are upright if the frame is rotated by ``-degrees``, with their landmarks in the frame."""
        height, width = frame.shape[:2]
        side = round(np.hypot(height, width))
        to_frame = _rotation((width / 2, height / 2), degrees, side)
        found = self._detector.detect(_cut(frame, to_frame, side))
        return [_mapped(face, to_frame, degrees) for face in found]

    def _measured(self, frame: NDArray[np.uint8], face: Detection) -> tuple[Detection, float]:
        if _is_level(face):
            return face, 0.0
        stated = float(rolls_of(face.landmarks))
        around = _Surroundings(frame, face, self._patch_detector)
        roll = around.roll(round(stated / STEP_DEGREES), is_sure=face.score >= SURE_SCORE)
        if face.score < SURE_SCORE and roll is not None and (found := around.face_at(roll)):
            around = _Surroundings(frame, found, self._patch_detector)  # the box was that of another orientation
            roll = around.roll(round(roll / STEP_DEGREES), is_sure=True)
        if roll is None:
            return face, float("inf")
        roll = (roll + 180) % 360 - 180
        return (face if abs(roll) < KEPT_DEGREES else around.face_at(roll) or face), roll


def _is_level(face: Detection) -> bool:
    return bool(abs(rolls_of(face.landmarks)) < LEVEL_DEGREES and face.score >= SURE_SCORE)


def _is_large(face: Detection) -> bool:
    """Whether the surroundings of a face have more pixels than are needed to measure its roll."""
    side = SURROUNDINGS * _DIAGONAL * float((face.box[2:] - face.box[:2]).max())
    return side >= MIN_SHRINKING * _UNROTATED_PX


def _scaled(face: Detection, scale: NDArray[np.float64]) -> Detection:
    return Detection(face.box * np.tile(scale, 2), face.landmarks * scale, face.score)


class _Surroundings:
    """What is around a face, to be rotated and searched again."""

    def __init__(self, frame: NDArray[np.uint8], face: Detection, detector: YuNetDetector) -> None:
        centre = (face.box[:2] + face.box[2:]) / 2
        half = SURROUNDINGS * _DIAGONAL * float((face.box[2:] - face.box[:2]).max()) / 2
        self._corner, self._scale = centre - half, 2 * half / _UNROTATED_PX
        self._image = Cropper(np.concatenate([centre - half, centre + half])[None], _UNROTATED_PX)(frame, 0)
        self._detector = detector
        self._scores: dict[int, float] = {}

    def roll(self, start: int, *, is_sure: bool) -> float | None:
        """Roll in degrees at which the face is found best; None if it is not found.

        The search begins at ``start`` steps, or, unless that ``is_sure``, at the best of all around. The result is the
        mean of the best step and two on each side, weighted by their scores.
        """
        if not is_sure:
            half = 180 // STEP_DEGREES
            start = max(range(-half, half, 2), key=self._score)
        for _ in range(180 // STEP_DEGREES):
            best = max(range(start - 2, start + 3), key=self._score)
            if best == start:
                break
            start = best
        near = range(start - 2, start + 3)
        weights = [max(0.0, self._score(step) - _LEAST_SCORE) for step in near]
        return STEP_DEGREES * float(np.average(near, weights=weights)) if sum(weights) else None

    def _score(self, step: int) -> float:
        if step not in self._scores:
            found = self.face_at(step * STEP_DEGREES)
            self._scores[step] = 0.0 if found is None else found.score
        return self._scores[step]

    def face_at(self, degrees: float) -> Detection | None:
        """The face as it is found after a rotation by ``-degrees``, in pixels of the frame; None if it is not."""
        to_image = _rotation((_UNROTATED_PX / 2, _UNROTATED_PX / 2), degrees, ROTATED_PX)
        found = self._detector.upright(_cut(self._image, to_image, ROTATED_PX))
        if not found:
            return None
        to_frame = self._scale * to_image
        to_frame[:, 2] += self._corner
        return _mapped(found[0], to_frame, degrees)


def _cut(image: NDArray[np.uint8], to_image: NDArray[np.float64], side_px: int) -> NDArray[np.uint8]:
    """The square of ``side_px`` at an affine map of continuous pixels, grey outside the image."""
    to_index = to_image.copy()
    to_index[:, 2] += to_image[:, :2] @ np.full(2, 0.5) - 0.5
    cut = cv2.warpAffine(
        image,
        to_index,
        (side_px, side_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(BORDER_VALUE,) * 3,
    )
    return np.asarray(cut, np.uint8)


def _rotation(centre: tuple[float, float], degrees: float, side_px: int) -> NDArray[np.float64]:
    """Affine map float64 [2, 3] from continuous pixels of a rotated square around ``centre`` to those of the image."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array(centre) - turn @ np.full(2, side_px / 2)
    return np.column_stack([turn, shift])


def _mapped(face: Detection, to_frame: NDArray[np.float64], degrees: float) -> Detection:
    """A face of a rotated image, in the frame. Of its stated roll in that image, the nearest right angle counts."""
    turns = int(np.rint(float(rolls_of(face.landmarks)) / 90))
    turn, shift = to_frame[:, :2], to_frame[:, 2]
    scale = float(np.hypot(*turn[:, 0]))
    centre = turn @ ((face.box[:2] + face.box[2:]) / 2) + shift
    half = scale * (face.box[2:] - face.box[:2]) / 2
    landmarks = face.landmarks @ turn.T + shift
    landmarks = rotated(landmarks, landmarks.mean(axis=0), degrees + 90 * turns - float(rolls_of(landmarks)))
    if (turns_of(landmarks) + turns) % 2:
        half = half[::-1]
    return Detection(np.concatenate([centre - half, centre + half]), landmarks, face.score)


def any_roll_detectors_by_zoom(min_score: float, max_px: int, longer_side: int) -> Iterator[AnyRollDetector]:
    """Like `detectors_by_zoom`, for faces at any roll."""
    for detector in detectors_by_zoom(min_score, max_px, longer_side):
        yield _of_any_roll(detector)


def detectors_with_gap_search(min_score: float, max_px: int, longer_side: int) -> Iterator[FaceDetector]:
    """The detectors of `any_roll_detectors_by_zoom`, and larger ones for the frames that still lack a face.

    The larger ones do not find faces that are rolled by about 45 or 135 degrees.
    """
    yield from any_roll_detectors_by_zoom(min_score, max_px, longer_side)
    for detector in larger_detectors(min_score, max_px, longer_side):
        yield GapDetector(_of_any_roll(detector, slants=()))


@lru_cache(maxsize=16)
def _of_any_roll(detector: YuNetDetector, slants: tuple[int, ...] = SLANTS) -> AnyRollDetector:
    return AnyRollDetector(detector, slants)
