"""Kernel Inception distance (Binkowski et al. 2018). Unlike FID it is unbiased, so it is valid for small N.

The squared maximum mean discrepancy of two sets of Inception features under the kernel (x.y / F + 1)^3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError

SUBSET_SIZE = 1000
NUM_SUBSETS = 100
"""KID is the mean over subsets, as published (sec. 4)."""

FeatureMatrix = NDArray[np.floating[Any]]


def kid(
    a: FeatureMatrix, b: FeatureMatrix, seed: int, subset_size: int = SUBSET_SIZE, num_subsets: int = NUM_SUBSETS
) -> float:
    """KID of features float [N, F] each; image i of one side may be generated from image i of the other.

    Equal distributions have an expected value of 0, so a single value may be below 0. Equal images give 0. Sets no
    larger than ``subset_size`` are compared as a whole. Raises ValueError if the shapes differ, and DataError for fewer
    than 2 images a side.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"features must be [N, F] on both sides, got {a.shape} and {b.shape}")
    if len(a) < 2:
        raise DataError(f"KID needs at least 2 images a side, got {len(a)}")
    if len(a) <= subset_size:
        return squared_mmd(a, b)
    random = np.random.default_rng(seed)
    subsets = (random.choice(len(a), subset_size, replace=False) for _ in range(num_subsets))
    return float(np.mean([squared_mmd(a[chosen], b[chosen]) for chosen in subsets]))


def squared_mmd(a: FeatureMatrix, b: FeatureMatrix) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy of two sets of equal size (Gretton et al. 2012, eq. 4).

    The pairs (i, i) between the sets are left out. The estimate is therefore unbiased if image i of one set depends on
    image i of the other, as a generated face depends on the real one.
    """
    within_a, within_b, between = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    return _mean_off_diagonal(within_a + within_b - between - between.T)


def _kernel(a: FeatureMatrix, b: FeatureMatrix) -> NDArray[np.float64]:
    products = a.astype(np.float64) @ b.astype(np.float64).T
    return (products / a.shape[1] + 1) ** 3


def _mean_off_diagonal(square: NDArray[np.float64]) -> float:
    num = len(square)
    return float((square.sum() - np.trace(square)) / (num * (num - 1)))
