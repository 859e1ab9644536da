"""Several training runs of one variant with different seeds: their mean and standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
AVERAGED = ("lse_d", "lse_c", "fid", "kid", "within_one_frame", "jitter_ratio")


def runs_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each variant, followed by its repeats."""
    runs: dict[str, list[Row]] = {row["variant"]: [row] for row in rows if "repeats" not in row}
    for row in rows:
        if "repeats" in row:
            runs[row["repeats"]].append(row)
    return runs


def averaged(rows: Sequence[Row]) -> dict[str, Row]:
    """By variant: its row with means over its runs, and their number as ``num_seeds``."""
    return {
        name: {**runs[0], **{key: mean_of(runs, key) for key in AVERAGED}, "num_seeds": len(runs)}
        for name, runs in runs_of(rows).items()
    }


def grouped(names: Sequence[str], repeats: Mapping[str, str]) -> list[str]:
    """The names in order, each followed by its repeats."""
    originals = [name for name in names if name not in repeats]
    return [member for first in originals for member in (first, *(n for n in names if repeats.get(n) == first))]


def places(names: Sequence[str], repeats: Mapping[str, str]) -> dict[str, int]:
    """Position of each name among the originals; a repeat has the position of its original."""
    originals = [name for name in names if name not in repeats]
    return {name: originals.index(repeats.get(name, name)) for name in names}


def mean_of(runs: Sequence[Row], key: str) -> float | None:
    """Mean over seeds; None if it is withheld."""
    values = [run[key] for run in runs]
    return None if None in values else statistics.fmean(values)


def seed_spread(runs: Sequence[Row], key: str) -> float | None:
    """Sample standard deviation over seeds; None if it is withheld."""
    values = [run[key] for run in runs]
    return None if None in values else statistics.stdev(values)
