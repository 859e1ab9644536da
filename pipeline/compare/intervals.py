"""Confidence intervals over clips: bootstrap for means and ratios, Wilson's formula for shares."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_INTERVAL_CLIPS = 8
"""Fewer clips have no interval.

A 95 % percentile interval of the mean covers the true mean in 76 % of cases at 3 clips, 84 % at 5, 89 % at 8 and 93 %
at 20. Simulated: 10,000 samples of normally distributed scores for each number of clips, with 2000 resamples each.
"""
FEW_CLIPS = 20
"""Below this number reports state that intervals are too narrow."""
_BLOCK = 256


@dataclass(frozen=True)
class Interval:
    """The bounds of a confidence interval."""

    low: float
    high: float

    @property
    def has_zero(self) -> bool:
        """Whether the interval contains 0, so that the sign of the value is not established."""
        return self.low <= 0 <= self.high


def mean_interval(values: ArrayLike, confidence: float, num_resamples: int, seed: int) -> Interval:
    """Percentile bootstrap interval of the mean over clips (Efron 1979). ``values: float [N]``.

    The interval of one clip has no width. Raises ValueError if ``values`` is empty or not finite.
    """
    sample = _finite(values)
    means = [sample[drawn].mean(axis=1) for drawn in _draws(sample.size, num_resamples, seed)]
    return percentile_interval(np.concatenate(means), confidence)


def ratio_interval(values: ArrayLike, base: ArrayLike, confidence: float, num_resamples: int, seed: int) -> Interval:
    """Percentile bootstrap interval of sum(values) / sum(base): ``float [N]`` each, resampled together.

    Resamples in which the sum of ``base`` is 0 have no ratio and are left out. Raises ValueError as ``mean_interval``,
    and if the lengths differ.
    """
    above, below = _finite(values), _finite(base)
    if above.shape != below.shape:
        raise ValueError(f"need a base for every value, got {below.size} for {above.size}")
    sums = [(above[drawn].sum(axis=1), below[drawn].sum(axis=1)) for drawn in _draws(above.size, num_resamples, seed)]
    ratios = [tops[bottoms != 0] / bottoms[bottoms != 0] for tops, bottoms in sums]
    return percentile_interval(np.concatenate(ratios), confidence)


def pooled_interval(
    by_video: Iterable[Sequence[Any]], key: str, weight: str | None, confidence: float, num_resamples: int, seed: int
) -> Interval | None:
    """Interval of a weighted mean over the scores that have the value, drawn by video.

    ``by_video``: the scores of each video. ``key``: the value's attribute, which may be None. ``weight``: that of its
    weight; None weighs all alike. None if fewer than `MIN_INTERVAL_CLIPS` videos have a value.
    """
    videos = [found for scores in by_video if (found := [s for s in scores if getattr(s, key) is not None])]
    if len(videos) < MIN_INTERVAL_CLIPS:
        return None
    weights = [[1 if weight is None else getattr(score, weight) for score in scores] for scores in videos]
    values = [[getattr(score, key) for score in scores] for scores in videos]
    sums = [sum(map(operator.mul, *pair)) for pair in zip(values, weights, strict=True)]
    return ratio_interval(sums, [sum(of_one) for of_one in weights], confidence, num_resamples, seed)


def share_interval(num_hits: float, num: int, confidence: float) -> Interval:
    """Wilson interval (1927) of the share ``num_hits / num``, within [0, 1].

    A bootstrap interval would have no width if all or none are hits. ``num_hits`` is not an integer if a clip stands
    for several pairs. Raises ValueError if it is not in [0, num] or ``num`` is 0.
    """
    if not 0 <= num_hits <= num or num == 0:
        raise ValueError(f"{num_hits} of {num} is not a share")
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    middle = num_hits + z2 / 2
    reach = math.sqrt(z2 * (num_hits * (num - num_hits) / num + z2 / 4))
    high = 1.0 if num_hits == num else (middle + reach) / (num + z2)  # exact: rounding may give less than the share
    return Interval(max(0.0, (middle - reach) / (num + z2)), high)


def percentile_interval(resampled: NDArray[np.float64], confidence: float) -> Interval:
    """Bounds of the central share ``confidence`` of resampled values, float64 [K]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(low), float(high))


def few_clips_note(num_clips: int) -> str:
    """What limits intervals over this number of clips, as a sentence; empty from ``FEW_CLIPS`` clips on."""
    if num_clips < MIN_INTERVAL_CLIPS:
        return f"There are no intervals: they need at least {MIN_INTERVAL_CLIPS} clips, and there are {num_clips}."
    if num_clips < FEW_CLIPS:
        return (
            f"Intervals over {num_clips} clips are too narrow: in a simulation, a 95 % interval by bootstrap covered "
            f"the true mean in 89 % of cases at {MIN_INTERVAL_CLIPS} clips and in 93 % at {FEW_CLIPS}."
        )
    return ""


def level(confidence: float) -> str:
    """A share such as 0.995 as text: 99.5 %."""
    return f"{100 * confidence:g} %"


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    sample: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"need values [N] with N > 0, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError("values must be finite")
    return sample


def _draws(size: int, num_resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Indices of clips sampled with replacement, in blocks int64 [at most 256, size]."""
    random = np.random.default_rng(seed)
    for start in range(0, num_resamples, _BLOCK):
        yield random.integers(size, size=(min(_BLOCK, num_resamples - start), size))
