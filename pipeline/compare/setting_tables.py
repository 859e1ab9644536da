"""The tables of a comparison that hold no scores: clips without a score, protocol, versions of packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.versions import differing
from pipeline.report.tables import Table

Row = Mapping[str, Any]


def failure_table(failures: Mapping[str, Sequence[Row]]) -> Table:
    """All clips without a score, by row, with reasons."""
    cells = [
        [f"`{variant}`", failure["clip_id"], failure["reason"]]
        for variant, failed in failures.items()
        for failure in failed
    ]
    return Table(["row", "clip", "reason"], cells, num_text=3)


def protocol_table(protocol: Mapping[str, Any]) -> Table:
    """Settings that are equal for all rows."""
    cells = [[key, f"`{value}`"] for key, value in sorted(protocol.items())]
    return Table(["setting", "value"], cells, num_text=2)


def version_table(rows: Sequence[Row]) -> Table:
    """Package versions: one column if all rows agree, else one per row."""
    versions = {f"`{row['variant']}`": row["versions"] for row in rows}
    if not differing(versions.values()):
        versions = {"version": {name: version for found in versions.values() for name, version in found.items()}}
    names = sorted({name for found in versions.values() for name in found})
    cells = [[name, *(found.get(name, "-") for found in versions.values())] for name in names]
    return Table(["package", *versions], cells, num_text=1 + len(versions))
