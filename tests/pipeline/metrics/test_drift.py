"""Drift measures with results known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.metrics.drift import ks_distance, psi_of_categories, psi_of_numbers


def test_equal_samples_do_not_drift() -> None:
    values = np.arange(100.0)
    assert psi_of_numbers(values, values) == 0
    assert psi_of_categories(["a", "b"], ["b", "a"]) == 0
    assert ks_distance(values, values) == (0, 1)


def test_psi_of_two_categories_is_as_computed_by_hand() -> None:
    """Shares 1/2, 1/2 become 1/4, 3/4."""
    expected = (0.25 - 0.5) * math.log(0.25 / 0.5) + (0.75 - 0.5) * math.log(0.75 / 0.5)
    assert psi_of_categories(["a", "b"] * 2, ["a", "b", "b", "b"]) == pytest.approx(expected)


def test_psi_of_numbers_uses_the_references_deciles() -> None:
    """All current values are in the last decile, so one bin of share 0.1 grows to 1 and nine shrink to 0."""
    reference, current = np.arange(100.0), np.full(7, 1000.0)
    expected = (1 - 0.1) * math.log(1 / 0.1) + 9 * (1e-4 - 0.1) * math.log(1e-4 / 0.1)
    assert psi_of_numbers(reference, current) == pytest.approx(expected)


def test_a_new_category_is_finite_drift() -> None:
    assert 0.2 < psi_of_categories(["a"] * 10, ["a"] * 5 + ["b"] * 5) < 10


def test_constant_columns_have_one_bin() -> None:
    assert psi_of_numbers(np.zeros(30), np.zeros(5)) == 0


def test_ks_is_the_largest_difference_of_the_cumulative_shares() -> None:
    distance, p = ks_distance(np.arange(100.0), np.arange(100.0) + 25)
    assert distance == pytest.approx(0.25) and p < 0.01
    assert ks_distance([1.0, 2.0], [3.0])[0] == 1


@pytest.mark.parametrize("measure", [psi_of_numbers, ks_distance, psi_of_categories])
def test_an_empty_side_is_an_error(measure) -> None:  # type: ignore[no-untyped-def]
    for sides in (([], [1.0]), ([1.0], [])):
        with pytest.raises(ValueError, match="drift needs"):
            measure(*sides)
