"""KID against loops straight from its definition, and against what is known of it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.metrics.kid import kid, squared_mmd


def slow_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Sums over k(x, y) = (gamma x.y + 1)^3, gamma = 1 / F: over i != j within a side, over all i, j between sides."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3)

    m, n = len(a), len(b)
    within_a = sum(k(a[i], a[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_b = sum(k(b[i], b[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    between = sum(k(x, y) for x in a for y in b) / (m * n)
    return within_a + within_b - 2 * between


def test_it_is_what_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 5)), rng.normal(0.5, 1, size=(7, 5))
    assert squared_mmd(a, b) == pytest.approx(slow_mmd(a, b))
    assert kid(a, b, seed=0) == squared_mmd(a, b)


def test_known_answers() -> None:
    """F = 1. Both sides are 0 and 1: k(0, 1) = 1, k(0, 0) = 1, k(1, 1) = 8, so 1 + 1 - 2 * (1 + 1 + 1 + 8) / 4."""
    a = np.array([[0.0], [1.0]])
    assert squared_mmd(a, a) == pytest.approx(-3.5)
    assert squared_mmd(a, np.array([[1.0], [1.0]])) == pytest.approx(1 + 8 - 2 * (1 + 1 + 8 + 8) / 4)


def test_two_samples_of_one_distribution_give_nothing_on_average_however_few() -> None:
    rng = np.random.default_rng(1)
    for num in (8, 64):
        values = [squared_mmd(rng.normal(size=(num, 16)), rng.normal(size=(num, 16))) for _ in range(400)]
        assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_images_of_which_one_comes_from_the_other_give_slightly_too_little() -> None:
    """Image i of one side goes with image i of the other, both of one distribution: the bias shrinks as 1 / N."""
    rng = np.random.default_rng(4)

    def mean_of(num: int) -> float:
        values = []
        for _ in range(400):
            shared, mine, theirs = rng.normal(size=(3, num, 16))
            values.append(squared_mmd(0.9 * shared + 0.19**0.5 * mine, 0.9 * shared + 0.19**0.5 * theirs))
        return float(np.mean(values))

    few, many = mean_of(10), mean_of(80)
    assert few < many < 0 and few / many == pytest.approx(8, rel=0.3)


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


def test_subsets_are_drawn_independently_on_both_sides() -> None:
    """Pairs would give every subset the diagonal of large products; of independent subsets few pairs meet."""
    a = np.random.default_rng(6).normal(size=(400, 8))
    paired = np.mean([squared_mmd(a[k : k + 20], a[k : k + 20]) for k in range(0, 400, 20)])
    independent = kid(a, a, seed=0, subset_size=20, num_subsets=200)
    assert paired < 5 * independent < 0


def test_unusable_features_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(3, 5\)"):
        kid(np.zeros((3, 4)), np.zeros((3, 5)), seed=0)
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(2, 4\)"):
        kid(np.zeros((3, 4)), np.zeros((2, 4)), seed=0)
    with pytest.raises(DataError, match="at least 2 images a side, got 1"):
        kid(np.zeros((1, 4)), np.zeros((1, 4)), seed=0)
