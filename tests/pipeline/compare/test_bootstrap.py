from __future__ import annotations

import numpy as np
import pytest

from pipeline.compare.bootstrap import mean_interval


def test_one_clip_has_no_spread() -> None:
    assert mean_interval([6.5], 0.95, 100, seed=0) == (6.5, 6.5)


def test_matches_the_normal_interval_of_many_clips() -> None:
    values = np.random.default_rng(3).normal(7.0, 2.0, size=400)
    low, high = mean_interval(values, 0.95, 4000, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_higher_confidence_is_wider_and_a_seed_repeats() -> None:
    values = [1.0, 2.0, 5.0, 9.0]
    narrow, wide = mean_interval(values, 0.5, 1000, seed=1), mean_interval(values, 0.99, 1000, seed=1)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert mean_interval(values, 0.5, 1000, seed=1) == narrow


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError):
        mean_interval(values, 0.95, 10, seed=0)
