"""Several trainings of one variant, each from another seed: their means and how far they spread."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
AVERAGED = ("lse_d", "lse_c", "fid", "kid", "within_one_frame", "jitter_ratio")


def runs_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each variant, repeats behind their first."""
    runs: dict[str, list[Row]] = {row["variant"]: [row] for row in rows if "repeats" not in row}
    for row in rows:
        if "repeats" in row:
            runs[row["repeats"]].append(row)
    return runs


def averaged(rows: Sequence[Row]) -> dict[str, Row]:
    """By variant: its row, with the means over its runs and their number as ``num_seeds``."""
    return {
        name: {**runs[0], **{key: mean_of(runs, key) for key in AVERAGED}, "num_seeds": len(runs)}
        for name, runs in runs_of(rows).items()
    }


def repeats_among(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Variants that are another one again from another seed, and the variant of which each is a repeat.

    ``variants``: the section of ``params.yaml``, in which no two are one training. Wherever they stand in it, the one
    without a seed of its own is repeated by the others; where all have one, the first.
    """
    alike: dict[str, list[str]] = {}
    for name, settings in variants.items():
        rest = repr(sorted((key, value) for key, value in settings.items() if key != "seed"))
        alike.setdefault(rest, []).append(name)
    found: dict[str, str] = {}
    for names in alike.values():
        original = next((name for name in names if variants[name]["seed"] is None), names[0])
        found |= {name: original for name in names if name != original}
    return found


def grouped(names: Sequence[str], repeats: Mapping[str, str]) -> list[str]:
    """The names in their order, but each one's repeats behind it."""
    originals = [name for name in names if name not in repeats]
    return [member for first in originals for member in (first, *(n for n in names if repeats.get(n) == first))]


def places(names: Sequence[str], repeats: Mapping[str, str]) -> dict[str, int]:
    """Each name's place among the names that repeat none: repeats have that of what they repeat."""
    originals = [name for name in names if name not in repeats]
    return {name: originals.index(repeats.get(name, name)) for name in names}


def mean_of(runs: Sequence[Row], key: str) -> float:
    return statistics.fmean(run[key] for run in runs)


def spread_of(runs: Sequence[Row], key: str) -> float:
    """Standard deviation over seeds, of a sample."""
    return statistics.stdev(run[key] for run in runs)
