"""Differences of variants over the same videos."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.compare.differences import Difference, difference, differences, is_clear
from pipeline.compare.intervals import Interval
from pipeline.compare.table import ClipScore, scores_by_video

SETTINGS = {"confidence": 0.95, "num_resamples": 600, "seed": 3}
Runs = dict[str, list[dict[str, float]]]


def by_video(values: np.ndarray) -> dict[str, float]:
    return {f"c{number}": float(value) for number, value in enumerate(values)}


def hard_clips() -> np.ndarray:
    """Scores that differ far more from clip to clip than systems do."""
    return np.random.default_rng(0).normal(10, 2, size=40)


def test_a_small_lead_shows_where_all_share_the_hard_clips() -> None:
    hard, noise = hard_clips(), np.random.default_rng(1).normal(0, 0.1, size=40)
    runs: Runs = {"a": [by_video(hard)], "b": [by_video(hard + 0.2 + noise)], "c": [by_video(hard + noise)]}
    found = differences({"lse_d": runs}, **SETTINGS)
    mean, low, high, _ = found["a"]["b"]["lse_d"]
    assert mean == pytest.approx(-(0.2 + noise).mean())
    spread = noise.std() / 40**0.5
    assert (low, high) == pytest.approx((mean - 1.96 * spread, mean + 1.96 * spread), abs=0.3 * spread)
    assert is_clear(found, "a", "b", "lse_d") and not is_clear(found, "b", "a", "lse_d")
    assert is_clear(differences({"lse_c": runs}, **SETTINGS), "b", "a", "lse_c")
    assert not is_clear(found, "a", "c", "lse_d")
    assert difference(found, "a", "b", "lse_d") == Difference(mean, Interval(low, high), 40)
    assert difference(found, "b", "a", "lse_d") == Difference(-mean, Interval(-high, -low), 40)
    assert difference(found, "a", "b", "lse_c") is None and not is_clear(found, "a", "b", "lse_c")


def test_trainings_are_drawn_again_too() -> None:
    """Each seed alone would be clearly ahead of, or behind, a variant to which their mean is equal."""
    hard = hard_clips()
    one: Runs = {"a": [by_video(hard + shift) for shift in (-0.5, 0.1, 0.4)], "b": [by_video(hard)]}
    found = differences({"lse_d": one}, **SETTINGS)
    mean, low, high, _ = found["a"]["b"]["lse_d"]
    assert mean == pytest.approx(0)
    assert (low, high) == pytest.approx((-0.5, 0.4), abs=0.15)
    alone = differences({"lse_d": one | {"a": one["a"][:1]}}, **SETTINGS)
    assert is_clear(alone, "a", "b", "lse_d")


def test_only_videos_that_both_have_count() -> None:
    scores = by_video(hard_clips())
    fewer = {name: score - 1 for name, score in scores.items() if name != "c0"} | {"elsewhere": 900.0}
    (found,) = differences({"lse_c": {"a": [scores], "b": [fewer]}}, **SETTINGS)["a"].values()
    assert found["lse_c"] == pytest.approx([1, 1, 1, 39])
    assert differences({"lse_c": {"a": [{"c0": 1.0}], "b": [{"c0": 2.0}]}}, **SETTINGS) == {}


def test_a_variant_that_failed_on_many_videos_takes_nothing_from_the_others() -> None:
    hard, noise = hard_clips(), np.random.default_rng(1).normal(0, 0.1, size=40)
    runs: Runs = {"a": [by_video(hard)], "b": [by_video(hard + 0.2 + noise)]}
    poor: Runs = {"poor": [{f"c{k}": 3.0 + k % 2 for k in range(8)}], "worst": [{f"c{k}": 3.0 for k in range(7)}]}
    found = differences({"lse_d": runs | poor}, **SETTINGS)
    assert found["a"]["b"] == differences({"lse_d": runs}, **SETTINGS)["a"]["b"]
    mean, low, high, _ = found["a"]["poor"]["lse_d"]
    assert low <= mean <= high and mean == pytest.approx(hard[:8].mean() - 3.5)
    pairs = [difference(found, name, "a", "lse_d") for name in ("b", "poor", "worst")]
    assert [paired and paired.num_videos for paired in pairs] == [40, 8, None]


def test_a_video_with_several_audios_counts_once() -> None:
    clip = ClipScore(lse_d=6.0, lse_c=1.0, offset_frames=0, mouth_jitter=1.0, real_mouth_jitter=1.0)
    clips = {("v", "a"): clip, ("v", "b"): dataclasses.replace(clip, lse_d=8.0), ("w", "a"): clip}
    assert scores_by_video(clips, "lse_d") == {"v": 7.0, "w": 6.0}
