"""Kernel Inception distance (Binkowski et al. 2018), as torch-fidelity and torchmetrics compute it.

The squared maximum mean discrepancy of two sets of Inception features under the kernel (x.y / F + 1)^3, by the unbiased
estimator, as a mean over random subsets. The estimator is unbiased only for independent sets. If image i of one set is
generated from image i of the other, as here, the value is slightly too low. For two equal sets it is below 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError

SUBSET_SIZE = 1000
NUM_SUBSETS = 100
"""As published (sec. 4), and the defaults of torch-fidelity and torchmetrics."""
ESTIMATOR = f"unbiased, kernel (x.y / F + 1)^3, {NUM_SUBSETS} subsets of {SUBSET_SIZE}"

FeatureMatrix = NDArray[np.floating[Any]]


def kid(
    a: FeatureMatrix, b: FeatureMatrix, seed: int, subset_size: int = SUBSET_SIZE, num_subsets: int = NUM_SUBSETS
) -> float:
    """KID of features float [N, F] each.

    Equal distributions have an expected value of 0, so a single value may be below 0. Each subset is drawn without
    replacement, independently on both sides. Sets no larger than ``subset_size`` are compared as a whole. Raises
    ValueError if the shapes differ, and DataError for fewer than 2 images a side.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"features must be [N, F] on both sides, got {a.shape} and {b.shape}")
    if len(a) < 2:
        raise DataError(f"KID needs at least 2 images a side, got {len(a)}")
    if len(a) <= subset_size:
        return squared_mmd(a, b)
    random = np.random.default_rng(seed)
    drawn = ((random.choice(len(a), subset_size, replace=False) for _ in range(2)) for _ in range(num_subsets))
    return float(np.mean([squared_mmd(a[of_a], b[of_b]) for of_a, of_b in drawn]))


def squared_mmd(a: FeatureMatrix, b: FeatureMatrix) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy of two sets (Gretton et al. 2012, eq. 3)."""
    return _mean_off_diagonal(_kernel(a, a)) + _mean_off_diagonal(_kernel(b, b)) - 2 * float(_kernel(a, b).mean())


def _kernel(a: FeatureMatrix, b: FeatureMatrix) -> NDArray[np.float64]:
    products = a.astype(np.float64) @ b.astype(np.float64).T
    return (products / a.shape[1] + 1) ** 3


def _mean_off_diagonal(square: NDArray[np.float64]) -> float:
    num = len(square)
    return float((square.sum() - np.trace(square)) / (num * (num - 1)))
