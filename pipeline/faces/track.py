"""Links the detections of neighbouring frames to tracks, one per face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.detector import Detection, box_areas, box_iou

MIN_LINK_IOU = 0.3


@dataclass(frozen=True)
class FaceTrack:
    """One face over N frames. Rows without a detection are NaN, and their score is 0.

    ``boxes: float64 [N, 4]``, ``landmarks: float64 [N, 5, 2]``, ``scores: float64 [N]``.
    """

    boxes: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def is_seen(self) -> NDArray[np.bool_]:
        return np.isfinite(self.boxes[:, 0])

    @property
    def span(self) -> tuple[int, int]:
        """First row with a detection and the row after the last. Raises IndexError for a track without detections."""
        seen = np.flatnonzero(self.is_seen)
        return int(seen[0]), int(seen[-1]) + 1

    @property
    def area(self) -> float:
        """Sum of the box areas, square pixels."""
        return float(np.nansum(box_areas(self.boxes)))

    def part(self, start: int, stop: int) -> FaceTrack:
        """Rows ``start`` to ``stop`` (exclusive)."""
        return FaceTrack(self.boxes[start:stop], self.landmarks[start:stop], self.scores[start:stop])


def link_detections(
    detections: Sequence[Sequence[Detection] | None], max_gap_frames: int, every: int = 1
) -> list[FaceTrack]:
    """Link faces of neighbouring frames by box overlap; returns tracks in order of first appearance.

    ``every`` is the distance between searched frames. A track may have gaps of up to ``max_gap_frames`` frames; after a
    longer gap, a face starts a new track.
    """
    chains: list[list[tuple[int, Detection]]] = []
    for index, found in enumerate(detections):
        alive = [chain for chain in chains if index - chain[-1][0] <= max_gap_frames + every]
        pairs = [
            (-overlap, number, which)
            for number, chain in enumerate(alive)
            for which, detection in enumerate(found or [])
            if (overlap := box_iou(chain[-1][1].box, detection.box)) >= MIN_LINK_IOU
        ]
        used_chains: set[int] = set()
        used_faces: set[int] = set()
        for _, number, which in sorted(pairs):
            if number not in used_chains and which not in used_faces:
                used_chains.add(number)
                used_faces.add(which)
                alive[number].append((index, (found or [])[which]))
        chains += [[(index, detection)] for which, detection in enumerate(found or []) if which not in used_faces]
    return [_track_of(chain, len(detections)) for chain in chains]


def _track_of(chain: list[tuple[int, Detection]], num_frames: int) -> FaceTrack:
    boxes = np.full((num_frames, 4), np.nan)
    landmarks = np.full((num_frames, 5, 2), np.nan)
    scores = np.zeros(num_frames)
    for index, detection in chain:
        boxes[index], landmarks[index] = detection.box, detection.landmarks
        scores[index] = detection.score
    return FaceTrack(boxes, landmarks, scores)
