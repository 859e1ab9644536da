"""The offset between a clip's audio and its video at which their windows agree best.

An offset is in frames, positive where the audio leads the video. V video windows, A audio windows, S offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_WINDOWS = 5
"""An offset is searched only if it leaves this many windows; a mean of fewer is high by chance."""


@dataclass(frozen=True)
class BestOffset:
    """``mean``: the mean similarity at this offset. ``margin``: ``mean`` minus the median over all offsets."""

    offset_frames: int
    mean: float
    margin: float


def offsets_within(max_offset: int) -> NDArray[np.int64]:
    """All offsets of at most so many frames, the largest first: int64 [2 * max_offset + 1]."""
    return np.arange(max_offset, -max_offset - 1, -1)


def mean_similarities(similarity: NDArray[np.floating[Any]], max_offset: int) -> tuple[list[int], NDArray[np.float64]]:
    """The offsets that leave 5 windows to compare (or all that the clip has), and the mean similarity at each: [S].

    ``similarity``: float [V, A], larger is more alike; without an offset row v belongs to column v.
    """
    least = min(MIN_WINDOWS, len(np.diagonal(similarity)))
    pairs = {int(offset): np.diagonal(similarity, -int(offset)) for offset in offsets_within(max_offset)}
    means = {offset: float(values.mean()) for offset, values in pairs.items() if len(values) >= max(1, least)}
    return list(means), np.array(list(means.values()), np.float64)


def best_offset(offsets: Sequence[int] | NDArray[np.int64], means: NDArray[np.float64]) -> BestOffset:
    """The offset of the largest mean, the first of equals; ``offsets`` and ``means``: [S], S > 0."""
    best = int(means.argmax())
    return BestOffset(int(offsets[best]), float(means[best]), float(means[best] - np.median(means)))
