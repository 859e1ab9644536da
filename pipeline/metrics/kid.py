"""Kernel Inception distance (Binkowski et al. 2018): like FID without its bias, so it may be read at a small N.

The squared maximum mean discrepancy of two sets of Inception features under the kernel (x.y / F + 1)^3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SUBSET_SIZE = 1000
NUM_SUBSETS = 100
"""As published (sec. 4): the mean over subsets."""

Features = NDArray[np.floating[Any]]


def kid(a: Features, b: Features, seed: int, subset_size: int = SUBSET_SIZE, num_subsets: int = NUM_SUBSETS) -> float:
    """KID of features float [N, F] and [M, F]. Equal distributions give 0 on average, so a value may be below 0.

    Sets no larger than a subset are compared as they are. Raises ValueError for shapes that do not fit or fewer than 2
    images a side.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features must be [N, F] and [M, F], got {a.shape} and {b.shape}")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"KID needs at least 2 images a side, got {len(a)} and {len(b)}")
    if max(len(a), len(b)) <= subset_size:
        return squared_mmd(a, b)
    random = np.random.default_rng(seed)

    def subset(features: Features) -> Features:
        return features[random.choice(len(features), min(subset_size, len(features)), replace=False)]

    return float(np.mean([squared_mmd(subset(a), subset(b)) for _ in range(num_subsets)]))


def squared_mmd(a: Features, b: Features) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, lemma 6)."""
    within_a, within_b, between = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    return float(_mean_off_diagonal(within_a) + _mean_off_diagonal(within_b) - 2 * between.mean())


def _kernel(a: Features, b: Features) -> NDArray[np.float64]:
    products = a.astype(np.float64) @ b.astype(np.float64).T
    return (products / a.shape[1] + 1) ** 3


def _mean_off_diagonal(square: NDArray[np.float64]) -> float:
    num = len(square)
    return float((square.sum() - np.trace(square)) / (num * (num - 1)))
