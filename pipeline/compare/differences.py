"""How surely one variant is ahead of another: differences of means over the same videos, drawn again."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.compare.intervals import percentile_interval

MEASURES = {"lse_d": -1, "lse_c": 1}
"""Figures that are means over clips, and the sign that makes larger better."""
MIN_VIDEOS = 2
"""Fewer say nothing: drawing one video again gives that video."""
_BLOCK = 256

Scores = Mapping[str, float]
"""One figure by video."""
Differences = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""By one variant, another one and a measure: the first one's mean less the other's, the low and high of that, and the
number of videos behind it."""


def differences(
    runs: Mapping[str, Mapping[str, Sequence[Scores]]], confidence: float, num_resamples: int, seed: int
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Every pair of variants, the one that comes first less the other; nothing where they share fewer than two videos.

    ``runs``: by measure and variant, the scores of each of its trainings. Of a pair the videos count that all trainings
    of both have. Each resample draws videos, the same ones for every training, and of variants with several trainings
    also these (a bootstrap of two levels), so that a video that is hard for all variants widens no interval. With a
    handful of seeds the spread over them is estimated too small rather than too large.
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
            if (both := has[one] & has[other]).sum() >= MIN_VIDEOS
        }
        for (one, other), resampled in _resampled_differences(tables, shared, num_resamples, seed).items():
            if not len(resampled):
                continue
            both = shared[one, other]
            mean = float(tables[one][:, both].mean() - tables[other][:, both].mean())
            low, high = percentile_interval(resampled, confidence)
            found.setdefault(one, {}).setdefault(other, {})[measure] = [mean, low, high, int(both.sum())]
    return found


def all_videos(trainings: Mapping[str, Sequence[Scores]]) -> set[str]:
    """The videos that any training of any variant has a score for."""
    return {video for of_one in trainings.values() for scores in of_one for video in scores}


def _resampled_differences(
    tables: Mapping[str, NDArray[np.float64]],
    shared: Mapping[tuple[str, str], NDArray[np.bool_]],
    num_resamples: int,
    seed: int,
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """For each pair of variants the difference of their means in every resample, float64 [at most K].

    ``tables``: each variant's scores, float64 [R trainings, V videos]; ``shared``: bool [V], what both of a pair have.
    All pairs see the same draws; those that hold none of a pair's videos are left out for it.
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


def difference(found: Differences, one: str, other: str, measure: str) -> tuple[float, float, float] | None:
    """``one``'s mean less ``other``'s, its low and its high; None where they share too few videos."""
    if figures := found.get(one, {}).get(other, {}).get(measure):
        return figures[0], figures[1], figures[2]
    if figures := found.get(other, {}).get(one, {}).get(measure):
        return -figures[0], -figures[2], -figures[1]
    return None


def num_videos(found: Differences, one: str, other: str, measure: str) -> int:
    """How many videos their difference rests on; 0 where there is none."""
    figures = found.get(one, {}).get(other, {}).get(measure) or found.get(other, {}).get(one, {}).get(measure)
    return int(figures[3]) if figures else 0


def is_clear(found: Differences, ahead: str, behind: str, measure: str) -> bool:
    """Whether the first one is the better by their difference over videos, and its interval leaves 0 out.

    Where a list has videos with different numbers of audios, the means of the rows may say otherwise.
    """
    figures = difference(found, ahead, behind, measure)
    return figures is not None and min(MEASURES[measure] * bound for bound in figures) > 0
