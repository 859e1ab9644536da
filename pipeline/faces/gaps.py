"""Searches frames in which no face was found again, at a larger size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.detector import Detection, FaceDetector, box_iou
from pipeline.faces.track import MIN_LINK_IOU

DENSE_FRAMES = 5
"""Number of frames of a gap that are searched one by one. After them, one frame in as many is searched."""


@dataclass(frozen=True)
class GapDetector:
    """A detector for frames in which those before it found no face. Implements ``FaceDetector``."""

    detector: FaceDetector

    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        """As ``FaceDetector.detect``."""
        return self.detector.detect(frame_bgr)


class GapSearch:
    """Searches the frames of a video, in order, where ``is_missing: bool [N]``.

    In a long gap without a face, only every ``DENSE_FRAMES``-th frame is searched until one shows a face.
    """

    def __init__(self, detector: FaceDetector, is_missing: NDArray[np.bool_] | Sequence[bool]) -> None:
        self._detector, self._is_missing = detector, is_missing
        self._position = self._num_without = 0

    def __call__(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        """Faces in the next frame, best first; empty if it is not searched."""
        position, self._position = self._position, self._position + 1
        if position >= len(self._is_missing) or not self._is_missing[position]:
            self._num_without = 0
            return []
        is_dense = self._num_without < DENSE_FRAMES
        found = self._detector.detect(frame_bgr) if is_dense or self._num_without % DENSE_FRAMES == 0 else []
        self._num_without = 0 if found else self._num_without + 1
        return found


def detect_in_gaps(
    detector: FaceDetector,
    frames: Iterable[NDArray[np.uint8]],
    found: Sequence[Sequence[Detection] | None],
    box: NDArray[np.float64],
) -> list[list[Detection] | None]:
    """``found``, and the faces that ``detector`` finds in searched frames without a face at ``box: float64 [4]``.

    ``frames: uint8 [H, W, 3] BGR`` are those of ``found``, which is None for frames that are not searched.
    """
    searched = [faces for faces in found if faces is not None]
    search = GapSearch(
        detector, [not any(box_iou(face.box, box) >= MIN_LINK_IOU for face in faces) for faces in searched]
    )
    return [None if faces is None else [*search(frame), *faces] for frame, faces in zip(frames, found, strict=True)]
