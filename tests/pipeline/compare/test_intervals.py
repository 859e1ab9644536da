from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from pipeline.compare.intervals import (
    FEW_CLIPS,
    MIN_INTERVAL_CLIPS,
    Interval,
    few_clips_note,
    mean_interval,
    ratio_interval,
    share_interval,
)


def test_one_clip_has_no_spread() -> None:
    assert mean_interval([6.5], 0.95, 100, seed=0) == Interval(6.5, 6.5)


def test_matches_the_normal_interval_of_many_clips() -> None:
    values = np.random.default_rng(3).normal(7.0, 2.0, size=400)
    found = mean_interval(values, 0.95, 4000, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)


def test_higher_confidence_is_wider_and_a_seed_repeats() -> None:
    values = [1.0, 2.0, 5.0, 9.0]
    narrow, wide = mean_interval(values, 0.5, 1000, seed=1), mean_interval(values, 0.99, 1000, seed=1)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert mean_interval(values, 0.5, 1000, seed=1) == narrow


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(ValueError):
        mean_interval(values, 0.95, 10, seed=0)


def test_a_ratio_keeps_both_figures_of_a_clip_together() -> None:
    base = np.random.default_rng(5).uniform(1, 9, size=40)
    assert astuple(ratio_interval(0.25 * base, base, 0.95, 500, seed=0)) == pytest.approx((0.25, 0.25))
    halved = ratio_interval(base, np.full(40, 2.0), 0.9, 500, seed=3)
    assert astuple(halved) == pytest.approx([bound / 2 for bound in astuple(mean_interval(base, 0.9, 500, seed=3))])


def test_of_two_clips_a_ratio_has_three_outcomes() -> None:
    """Drawn twice the first gives 1, twice the second 3, once each (10 + 90) / (10 + 30) = 2.5."""
    assert ratio_interval([10, 90], [10, 30], 0.98, 2000, seed=0) == Interval(1.0, 3.0)
    assert ratio_interval([10, 90], [10, 30], 0.01, 2000, seed=0) == Interval(2.5, 2.5)


def test_draws_without_a_base_are_left_out_of_a_ratio() -> None:
    assert ratio_interval([1.0, 4.0], [0.0, 2.0], 0.9, 200, seed=0) == Interval(2.0, 2.5)
    with pytest.raises(ValueError, match="got 1 for 2"):
        ratio_interval([1.0, 4.0], [2.0], 0.9, 200, seed=0)


@pytest.mark.parametrize(
    ("num_hits", "num", "expected"),
    [(44, 44, (0.9197, 1.0)), (0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (1, 1, (0.2065, 1.0))],
)
def test_a_share_of_all_or_none_has_an_interval_too(num_hits: int, num: int, expected: tuple[float, float]) -> None:
    """n / (n + 1.96 ** 2) is the other end where all are hits."""
    assert astuple(share_interval(num_hits, num, 0.95)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("num", "said"), [(7, "at least 8 clips, and there are 7."), (8, "over 8 clips"), (19, "over 19 clips"), (20, "")]
)
def test_few_clips_are_named(num: int, said: str) -> None:
    note = few_clips_note(num)
    assert said in note and bool(note) is bool(said)


@pytest.mark.parametrize(("num", "share"), [(3, 0.74), (5, 0.84), (MIN_INTERVAL_CLIPS, 0.88), (FEW_CLIPS, 0.92)])
def test_intervals_over_few_clips_cover_as_often_as_stated(num: int, share: float) -> None:
    """Of 800 samples from a normal distribution, in the share that the notes state."""
    samples = np.random.default_rng(num).normal(size=(800, num))
    covers = [mean_interval(sample, 0.95, 256, seed=0).has_zero for sample in samples]
    assert np.mean(covers) == pytest.approx(share, abs=0.035)


@pytest.mark.parametrize(("num_hits", "num"), [(0, 0), (3, 2), (-1, 2)])
def test_refuses_what_is_no_share(num_hits: int, num: int) -> None:
    with pytest.raises(ValueError, match="not a share"):
        share_interval(num_hits, num, 0.95)
