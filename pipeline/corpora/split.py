"""Assign clips or speakers to the splits train, val and test."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.choices import SplitBy
from pipeline.core.seeded_order import seeded_order
from pipeline.corpora.manifest import MIN_CLIPS


def assign_splits(
    names: Iterable[str], val_fraction: float, test_fraction: float, seed: int, least_test: int = 1
) -> dict[str, str]:
    """``train``, ``val`` or ``test`` for each name, the same on every machine.

    Names are ranked by ``seeded_order``, so nearly all assignments stay when a corpus grows. A fraction above 0 gives
    val at least one name and test at least ``least_test``.
    """
    ranked = seeded_order(set(names), seed)
    num_val = _share(val_fraction, len(ranked), 1)
    num_test = _share(test_fraction, len(ranked), least_test)
    splits = dict.fromkeys(ranked, "train")
    splits.update(dict.fromkeys(ranked[:num_val], "val"))
    splits.update(dict.fromkeys(ranked[num_val : num_val + num_test], "test"))
    return splits


def least_test(split_by: SplitBy) -> int:
    """The fewest clips or speakers in test.

    A test clip is also scored with the audio of another test clip, so test needs two clips. One speaker suffices: a
    speaker usually has several clips.
    """
    return MIN_CLIPS["test"] if split_by == "clip" else 1


def _share(fraction: float, count: int, least: int) -> int:
    return max(least, round(fraction * count)) if fraction > 0 else 0
