"""How far the distribution of a column has moved: population stability index and Kolmogorov-Smirnov distance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_BINS = 10
"""Bins of a numeric column: its deciles in the reference."""
_LEAST_SHARE = 1e-4
"""Share that stands for an empty bin. PSI is infinite without it."""


def psi_of_numbers(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index over the reference's deciles: 0 for equal distributions, above 0.2 a large change.

    ``reference``, ``current``: float [N] and [M]. Raises ValueError if one is empty.
    """
    before, now = _sample(reference), _sample(current)
    inner = np.unique(np.quantile(before, np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(inner, part, side="left"), minlength=len(inner) + 1) for part in (before, now)
    ]
    return _psi(*(count / count.sum() for count in counts))


def psi_of_categories(reference: Sequence[Hashable], current: Sequence[Hashable]) -> float:
    """Population stability index over the values that occur. Raises ValueError if one side is empty."""
    if not reference or not current:
        raise ValueError("drift needs at least one value on each side")
    counts = [Counter(part) for part in (reference, current)]
    values = sorted({*counts[0], *counts[1]}, key=repr)
    return _psi(*(np.array([count[value] for value in values]) / count.total() for count in counts))


def ks_distance(reference: ArrayLike, current: ArrayLike) -> tuple[float, float]:
    """Largest difference of the cumulative distributions, 0 to 1, and its p-value (two-sided, two samples).

    ``reference``, ``current``: float [N] and [M]. Raises ValueError if one is empty.
    """
    from scipy.stats import ks_2samp

    found = ks_2samp(_sample(reference), _sample(current))
    return float(found.statistic), float(found.pvalue)


def _psi(reference: NDArray[np.float64], current: NDArray[np.float64]) -> float:
    before, now = np.maximum(reference, _LEAST_SHARE), np.maximum(current, _LEAST_SHARE)
    return float(((now - before) * np.log(now / before)).sum())


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    sample: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not sample.size:
        raise ValueError(f"drift needs values [N] with N > 0, got shape {sample.shape}")
    return sample
