"""Times of a video's frames when their rate is not constant."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

CLOCK_HZ = 90_000
"""Clock of written videos whose frame rate varies: that of MPEG. A millisecond has 90 ticks."""


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """Times at which frames are shown: ``starts_s: float64 [N]`` that increase, and ``end_s``, the end of the last one.

    Each frame is shown until the next one starts.
    """

    starts_s: NDArray[np.float64]
    end_s: float

    def __post_init__(self) -> None:
        """Raises ValueError for times that do not increase."""
        if len(self.starts_s) == 0 or (np.diff([*self.starts_s, self.end_s]) <= 0).any():
            raise ValueError("frame times must increase")

    def __len__(self) -> int:
        return len(self.starts_s)

    @property
    def mean_fps(self) -> Fraction:
        """Frames per second from 0 to the end of the last frame."""
        return Fraction(len(self) / self.end_s).limit_denominator(1000)

    def ticks(self) -> NDArray[np.int64]:
        """Starts of the frames and end of the last one on the clock of ``CLOCK_HZ``: int64 [N + 1], which increase."""
        ticks = np.rint(np.append(self.starts_s, self.end_s) * CLOCK_HZ).astype(np.int64)
        order = np.arange(len(ticks))
        return np.maximum.accumulate(ticks - order) + order


def increasing_times(starts_s: NDArray[np.float64], end_s: float) -> NDArray[np.float64]:
    """Times that increase: of frames with equal times, all but the first are spread over the time until the next one.

    ``starts_s: float64 [N]`` that do not decrease, with ``end_s`` above the last one -> float64 [N].
    """
    distinct, first = np.unique(starts_s, return_index=True)
    places = np.append(first, len(starts_s)).astype(np.float64)
    return np.interp(np.arange(len(starts_s)), places, np.append(distinct, end_s))
