"""Where a video changes from one shot to the next."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 24
NEIGHBOURS = 2
"""Frames on each side whose changes a cut must stand out from."""
STANDS_OUT = 3.0
"""Times as large as the largest of its neighbours' changes: motion lasts, and a flash changes twice."""


class ChangeMeter:
    """How much each frame differs from the one before it, in grey levels (mean over pixels and channels, 0..255)."""

    def __init__(self) -> None:
        self._last: NDArray[np.int16] | None = None
        self.changes: list[float] = []
        """One per frame; the first is 0."""

    def add(self, frame_bgr: NDArray[np.uint8]) -> None:
        """Take the next frame: uint8 [H, W, 3]."""
        small = cv2.resize(frame_bgr, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA).astype(np.int16)
        self.changes.append(0.0 if self._last is None else float(np.abs(small - self._last).mean()))
        self._last = small


def find_cuts(changes: Sequence[float], least_change: float) -> list[int]:
    """First frames of new shots: where the change is at least ``least_change`` grey levels and stands out.

    ``changes[t]`` compares frames t - 1 and t. A ``least_change`` of 0 finds none.
    """
    if least_change <= 0:
        return []
    cuts = []
    for index, change in enumerate(changes):
        near = [*changes[max(1, index - NEIGHBOURS) : index], *changes[index + 1 : index + 1 + NEIGHBOURS]]
        if index and change >= least_change and change >= STANDS_OUT * max(near, default=0.0):
            cuts.append(index)
    return cuts


def shots_of(num_frames: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """First frame and end of each shot, in order."""
    edges = [0, *cuts, num_frames]
    return list(itertools.pairwise(edges))
