"""Dividing clips or speakers into train, val and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def assign_splits(names: Iterable[str], val_fraction: float, test_fraction: float, seed: int) -> dict[str, str]:
    """``train``, ``val`` or ``test`` for each name, the same on every machine.

    Names are ranked by a digest of seed and name, so a corpus that grows keeps nearly all of its
    earlier assignments. A fraction above 0 gets at least one name.
    """
    ranked = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    num_val = _share(val_fraction, len(ranked))
    num_test = _share(test_fraction, len(ranked))
    splits = dict.fromkeys(ranked, "train")
    splits.update(dict.fromkeys(ranked[:num_val], "val"))
    splits.update(dict.fromkeys(ranked[num_val : num_val + num_test], "test"))
    return splits


def _share(fraction: float, count: int) -> int:
    return max(1, round(fraction * count)) if fraction > 0 else 0
