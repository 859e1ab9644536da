"""KID against loops straight from its definition, and against what is known of it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.metrics.kid import kid, squared_mmd


def slow_mmd(a: np.ndarray, b: np.ndarray) -> float:
    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3)

    pairs = [(i, j) for i in range(len(a)) for j in range(len(a)) if i != j]
    return float(np.mean([k(a[i], a[j]) + k(b[i], b[j]) - k(a[i], b[j]) - k(a[j], b[i]) for i, j in pairs]))


def test_it_is_what_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 5)), rng.normal(0.5, 1, size=(7, 5))
    assert squared_mmd(a, b) == pytest.approx(slow_mmd(a, b))
    assert kid(a, b, seed=0) == squared_mmd(a, b)
    assert kid(a, a, seed=0) == 0


def test_two_samples_of_one_distribution_give_nothing_on_average_however_few() -> None:
    rng = np.random.default_rng(1)
    for num in (8, 64):
        values = [squared_mmd(rng.normal(size=(num, 16)), rng.normal(size=(num, 16))) for _ in range(400)]
        assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_images_that_were_drawn_again_give_nothing_on_average_either() -> None:
    """Image i of one side goes with image i of the other, both of one distribution."""
    rng = np.random.default_rng(4)
    values = []
    for _ in range(400):
        shared, mine, theirs = rng.normal(size=(3, 20, 16))
        values.append(squared_mmd(0.9 * shared + 0.19**0.5 * mine, 0.9 * shared + 0.19**0.5 * theirs))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_a_shift_shows_and_grows() -> None:
    rng = np.random.default_rng(2)
    a, noise = rng.normal(size=(200, 32)), rng.normal(size=(200, 32))
    small, large = kid(a, noise + 0.2, seed=0), kid(a, noise + 0.6, seed=0)
    assert 0 < small < large


def test_large_sets_are_compared_in_seeded_subsets() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(300, 8)), rng.normal(0.3, 1, size=(300, 8))
    found = kid(a, b, seed=5, subset_size=50, num_subsets=40)
    assert found == kid(a, b, seed=5, subset_size=50, num_subsets=40)
    assert found != kid(a, b, seed=6, subset_size=50, num_subsets=40)
    assert found == pytest.approx(squared_mmd(a, b), abs=0.05)


def test_unusable_features_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(3, 5\)"):
        kid(np.zeros((3, 4)), np.zeros((3, 5)), seed=0)
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(2, 4\)"):
        kid(np.zeros((3, 4)), np.zeros((2, 4)), seed=0)
    with pytest.raises(DataError, match="at least 2 images a side, got 1"):
        kid(np.zeros((1, 4)), np.zeros((1, 4)), seed=0)
