"""Confidence intervals by resampling clips."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 256


def mean_interval(values: ArrayLike, confidence: float, num_resamples: int, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean over clips (Efron 1979): ``values: float [N]`` -> (low, high).

    One clip gives an interval of no width. Raises ValueError for no value or one that is not finite.
    """
    sample: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"need a list of at least one value, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError("values must be finite")
    random = np.random.default_rng(seed)
    means = [
        sample[random.integers(sample.size, size=(min(_BLOCK, num_resamples - start), sample.size))].mean(axis=1)
        for start in range(0, num_resamples, _BLOCK)
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)
