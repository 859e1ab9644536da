"""Dividing clips or speakers into train, val and test."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core.choices import SplitBy
from pipeline.core.seeded_order import seeded_order
from pipeline.corpora.manifest import MIN_CLIPS


def assign_splits(
    names: Iterable[str], val_fraction: float, test_fraction: float, seed: int, least_test: int = 1
) -> dict[str, str]:
    """``train``, ``val`` or ``test`` for each name, the same on every machine.

    The order is ``seeded_order``'s, so a corpus that grows keeps nearly all of its
    earlier assignments. A fraction above 0 gets at least one name, that of the test split ``least_test``.
    """
    ranked = seeded_order(set(names), seed)
    num_val = _share(val_fraction, len(ranked), 1)
    num_test = _share(test_fraction, len(ranked), least_test)
    splits = dict.fromkeys(ranked, "train")
    splits.update(dict.fromkeys(ranked[:num_val], "val"))
    splits.update(dict.fromkeys(ranked[num_val : num_val + num_test], "test"))
    return splits


def least_test(split_by: SplitBy) -> int:
    """A held-out clip is scored with another one's sound, so it takes two clips; one speaker may have several."""
    return MIN_CLIPS["test"] if split_by == "clip" else 1


def _share(fraction: float, count: int, least: int) -> int:
    return max(least, round(fraction * count)) if fraction > 0 else 0
