"""How surely one variant is ahead of another: differences of means over the same videos, drawn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.compare.intervals import percentile_interval

MEASURES = ("lse_d", "lse_c")
"""Figures that are means over clips."""
MIN_VIDEOS = 2
"""Fewer say nothing: drawing one video again gives that video."""
_BLOCK = 256

Scores = Mapping[str, float]
"""One figure by video."""
Differences = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""By one variant, another one and a measure: the first one's mean less the other's, and the low and high of that."""


def differences(
    runs: Mapping[str, Mapping[str, Sequence[Scores]]], confidence: float, num_resamples: int, seed: int
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Every pair of variants, the one that comes first less the other; nothing where fewer than two videos are shared.

    ``runs``: by measure and variant, the scores of each of its trainings. Only videos that all of them have count. Each
    resample draws videos, the same ones for every training, and of variants with several trainings also these
    (a bootstrap of two levels), so that a video that is hard for all variants widens no interval. With a handful of
    seeds the spread over them is estimated too small rather than too large.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for measure, trainings in runs.items():
        shared = sorted(set.intersection(*(set(scores) for of_one in trainings.values() for scores in of_one)))
        if len(shared) < MIN_VIDEOS:
            continue
        tables = {
            name: np.array([[scores[video] for video in shared] for scores in of_one])
            for name, of_one in trainings.items()
        }
        resampled = _resampled_means(tables, num_resamples, seed)
        names = list(tables)
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                mean = float(tables[one].mean() - tables[other].mean())
                low, high = percentile_interval(resampled[one] - resampled[other], confidence)
                found.setdefault(one, {}).setdefault(other, {})[measure] = [mean, low, high]
    return found


def _resampled_means(
    tables: Mapping[str, NDArray[np.float64]], num_resamples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Of each variant's scores, float64 [R trainings, V videos], the mean in every resample, float64 [K]."""
    random = np.random.default_rng(seed)
    num_videos = next(iter(tables.values())).shape[1]
    means: dict[str, list[NDArray[np.float64]]] = {name: [] for name in tables}
    for start in range(0, num_resamples, _BLOCK):
        num = min(_BLOCK, num_resamples - start)
        weights = random.multinomial(num_videos, np.full(num_videos, 1 / num_videos), size=num) / num_videos
        for name, table in tables.items():
            of_runs = weights @ table.T  # [num, R]
            drawn = random.integers(len(table), size=(num, len(table)))
            means[name].append(np.take_along_axis(of_runs, drawn, axis=1).mean(axis=1))
    return {name: np.concatenate(parts) for name, parts in means.items()}


def difference(found: Differences, one: str, other: str, measure: str) -> tuple[float, float, float] | None:
    """``one``'s mean less ``other``'s, its low and its high; None where they share too few videos."""
    if figures := found.get(one, {}).get(other, {}).get(measure):
        return figures[0], figures[1], figures[2]
    if figures := found.get(other, {}).get(one, {}).get(measure):
        return -figures[0], -figures[2], -figures[1]
    return None


def is_clear(found: Differences, one: str, other: str, measure: str) -> bool:
    """Whether the interval of their difference leaves 0 out."""
    figures = difference(found, one, other, measure)
    return figures is not None and not figures[1] <= 0 <= figures[2]
