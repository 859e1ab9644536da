"""The path of one face through a video, its parts in each shot, and the detections that it was made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.detector import Detection, box_areas


@dataclass(eq=False)
class FacePath:
    """One face from its first to its last detection; frames without a detection are NaN.

    ``boxes: float64 [n, 4]``, ``landmarks: float64 [n, 5, 2]``.
    """

    start: int
    boxes: NDArray[np.float64]
    landmarks: NDArray[np.float64]

    @property
    def stop(self) -> int:
        return self.start + len(self.boxes)

    def append(self, later: FacePath) -> None:
        """Append a path that starts later; the frames between become NaN."""
        gap = later.start - self.stop
        self.boxes = np.concatenate([self.boxes, np.full((gap, 4), np.nan), later.boxes])
        self.landmarks = np.concatenate([self.landmarks, np.full((gap, 5, 2), np.nan), later.landmarks])

    def shots(self, cuts: Sequence[int]) -> Iterator[FacePath]:
        """Yields its parts in each shot, trimmed to their first and last detection; ``cuts`` are first frames."""
        edges = [self.start, *(cut for cut in cuts if self.start < cut < self.stop), self.stop]
        for first, end in itertools.pairwise(edges):
            seen = (
                first - self.start + np.flatnonzero(np.isfinite(self.boxes[first - self.start : end - self.start, 0]))
            )
            if len(seen):
                span = slice(seen[0], seen[-1] + 1)
                yield FacePath(self.start + int(seen[0]), self.boxes[span], self.landmarks[span])

    @property
    def area(self) -> float:
        """Sum of the box areas, square pixels."""
        return float(np.nansum(box_areas(self.boxes)))

    @property
    def num_seen(self) -> int:
        return int(np.isfinite(self.boxes[:, 0]).sum())

    def at(self, frame: int) -> Iterator[Detection]:
        """Yields the detection in a frame, if there is one. Its score is not kept."""
        row = frame - self.start
        if np.isfinite(self.boxes[row, 0]):
            yield Detection(self.boxes[row], self.landmarks[row], np.nan)


class FilledPaths:
    """The detections of ``paths`` in the frames of a video, in order, and what ``search`` finds in other frames."""

    def __init__(self, paths: Sequence[FacePath], search: Callable[[NDArray[np.uint8]], Sequence[Detection]]) -> None:
        self._later = sorted(paths, key=lambda path: -path.start)
        self._now: list[FacePath] = []
        self._search = search
        self._frame = 0

    def __call__(self, image: NDArray[np.uint8]) -> Sequence[Detection]:
        """Faces of the next frame ``uint8 [H, W, 3]`` BGR. A found face replaces those of paths."""
        self._now = [path for path in self._now if path.stop > self._frame]
        while self._later and self._later[-1].start <= self._frame:
            self._now.append(self._later.pop())
        known = [face for path in self._now for face in path.at(self._frame)]
        self._frame += 1
        return self._search(image) or known
