"""Differences between variants: paired over videos, with bootstrap intervals over videos and trainings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.compare.intervals import MIN_INTERVAL_CLIPS, Interval, percentile_interval

DIRECTIONS = {"lse_d": -1, "lse_c": 1}
"""Scores that are means over clips, and the sign with which larger is better."""
_BLOCK = 256

VideoScores = Mapping[str, float]
"""One score by video."""
Differences = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""``differences[a][b][measure]`` is [mean of a minus mean of b, low, high, number of videos]; low and high bound the
interval. This is their form in ``comparison.json``; `difference` reads it."""


@dataclass(frozen=True)
class Difference:
    """The mean of one variant minus that of another one, over the videos that both have."""

    mean: float
    interval: Interval
    num_videos: int


def differences(
    runs: Mapping[str, Mapping[str, Sequence[VideoScores]]], confidence: float, num_resamples: int, seed: int
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Differences of all pairs of variants, first minus second; none for pairs that share too few videos.

    Fewer than `intervals.MIN_INTERVAL_CLIPS` are too few. ``runs``: by measure and variant, the scores of each training
    run. A pair is compared on the videos that all runs of both have. Each resample draws videos, the same ones for
    every run, and also training runs of variants with several (two-level bootstrap). A video that is hard for all
    variants therefore does not widen an interval. With few seeds their spread is underestimated.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for measure, trainings in runs.items():
        videos = sorted(all_videos(trainings))
        tables = {
            name: np.array([[scores.get(video, np.nan) for video in videos] for scores in of_one])
            for name, of_one in trainings.items()
        }
        has = {name: np.isfinite(table).all(axis=0) for name, table in tables.items()}
        shared = {
            (one, other): both
            for one, other in itertools.combinations(tables, 2)
            if (both := has[one] & has[other]).sum() >= MIN_INTERVAL_CLIPS
        }
        for (one, other), resampled in _resampled_differences(tables, shared, num_resamples, seed).items():
            if not len(resampled):
                continue
            both = shared[one, other]
            mean = float(tables[one][:, both].mean() - tables[other][:, both].mean())
            interval = percentile_interval(resampled, confidence)
            figures = [mean, interval.low, interval.high, int(both.sum())]
            found.setdefault(one, {}).setdefault(other, {})[measure] = figures
    return found


def all_videos(trainings: Mapping[str, Sequence[VideoScores]]) -> set[str]:
    """The videos that have a score from any training of any variant."""
    return {video for of_one in trainings.values() for scores in of_one for video in scores}


def _resampled_differences(
    tables: Mapping[str, NDArray[np.float64]],
    shared: Mapping[tuple[str, str], NDArray[np.bool_]],
    num_resamples: int,
    seed: int,
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """The difference of means in every resample, float64 [at most K], for each pair of variants.

    ``tables``: scores of each variant, float64 [R runs, V videos]. ``shared``: bool [V], the videos that both of a
    pair have. All pairs have the same resamples, without those that hold none of the pair's videos.
    """
    random = np.random.default_rng(seed)
    num_videos = next(iter(tables.values())).shape[1]
    found: dict[tuple[str, str], list[NDArray[np.float64]]] = {pair: [] for pair in shared}
    for start in range(0, num_resamples, _BLOCK):
        num = min(_BLOCK, num_resamples - start)
        counts = random.multinomial(num_videos, np.full(num_videos, 1 / num_videos), size=num)
        drawn = {name: random.integers(len(table), size=(num, len(table))) for name, table in tables.items()}
        for (one, other), both in shared.items():
            hit = counts[:, both].any(axis=1)
            weights = counts[hit][:, both] / counts[hit][:, both].sum(axis=1, keepdims=True)
            means = [
                np.take_along_axis(weights @ tables[name][:, both].T, drawn[name][hit], axis=1).mean(axis=1)
                for name in (one, other)
            ]
            found[one, other].append(means[0] - means[1])
    return {pair: np.concatenate(parts) for pair, parts in found.items()}


def difference(found: Differences, one: str, other: str, measure: str) -> Difference | None:
    """``one`` minus ``other``; None if they share too few videos."""
    if figures := found.get(one, {}).get(other, {}).get(measure):
        mean, low, high, num_videos = figures
        return Difference(mean, Interval(low, high), int(num_videos))
    if figures := found.get(other, {}).get(one, {}).get(measure):
        mean, low, high, num_videos = figures
        return Difference(-mean, Interval(-high, -low), int(num_videos))
    return None


def is_clear(found: Differences, ahead: str, behind: str, measure: str) -> bool:
    """Whether ``ahead`` is better than ``behind`` over videos and the interval does not contain 0.

    If videos have different numbers of audios, the means of the rows may order the two differently.
    """
    if (paired := difference(found, ahead, behind, measure)) is None:
        return False
    return all(DIRECTIONS[measure] * value > 0 for value in (paired.mean, paired.interval.low, paired.interval.high))
