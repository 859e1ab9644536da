"""Shot boundary detection."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 24
_SHRUNK_PX = 3 * THUMBNAIL_PX
NEIGHBOURS = 2
"""Number of frames on each side that the change at a cut is compared with."""
STANDS_OUT = 3.0
"""Smallest ratio of the change at a cut to the largest neighbouring change. Excludes lasting motion and flashes."""


class ChangeMeter:
    """Measures each frame's difference from the previous one: mean over pixels and channels, grey levels 0..255."""

    def __init__(self) -> None:
        self._last: NDArray[np.int16] | None = None
        self.changes: list[float] = []
        """One per frame; the first is 0."""

    def add(self, frame_bgr: NDArray[np.uint8]) -> None:
        """Add the next frame: uint8 [H, W, 3]."""
        small = _thumbnail(frame_bgr).astype(np.int16)
        self.changes.append(0.0 if self._last is None else float(np.abs(small - self._last).mean()))
        self._last = small

    def watch(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames, each of which is added first."""
        for frame in frames:
            self.add(frame)
            yield frame


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame at ``THUMBNAIL_PX``. It shrinks by whole numbers first, because OpenCV is slow at other factors."""
    height, width = frame.shape[:2]
    if height % THUMBNAIL_PX or width % THUMBNAIL_PX:
        size = (width // _whole_factor(width), height // _whole_factor(height))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    thumbnail = cv2.resize(frame, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(thumbnail, np.uint8)


@lru_cache(maxsize=8)
def _whole_factor(side_px: int) -> int:
    """The largest divisor of a side that leaves ``_SHRUNK_PX`` or more."""
    return max(factor for factor in range(1, max(1, side_px // _SHRUNK_PX) + 1) if side_px % factor == 0)


def find_cuts(changes: Sequence[float], least_change: float) -> list[int]:
    """Indices of the first frames of new shots.

    ``changes[t]`` is the difference of frames t - 1 and t. A cut has a change of at least ``least_change`` grey levels
    and at least ``STANDS_OUT`` times that of its neighbours. A ``least_change`` of 0 disables detection.
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
    """First frame and end (exclusive) of each shot, in order."""
    edges = [0, *cuts, num_frames]
    return list(itertools.pairwise(edges))
