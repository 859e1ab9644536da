"""The comparison as Markdown, and as a summary for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.compare.findings import findings_of
from pipeline.compare.paper import CAVEATS
from pipeline.compare.report_tables import (
    ABLATION_TITLE,
    DIFFERENCES_NOTE,
    EDGE_NOTE,
    PAPER_CAVEAT,
    PROBES_NOTE,
    SEEDS_NOTE,
    TABLE_1_TITLE,
    intervals_note,
    report_tables,
    short_table,
)
from pipeline.compare.setting_tables import failure_table, protocol_table, version_table
from pipeline.report.tables import bullets

Row = Mapping[str, Any]


def setting(protocol: Mapping[str, Any]) -> str:
    """The pairs and the protocol, in two sentences."""
    return (
        f"{protocol['num_pairs']} pairs of a held-out video and an audio track: {protocol['pairing']} (digest "
        f"`{protocol['pairing_sha256'][:12]}`). Protocol `{protocol['id']}`, digest `{protocol['sha256'][:12]}`."
    )


def comparison_markdown(comparison: Mapping[str, Any], failures: Mapping[str, Sequence[Row]]) -> str:
    """The content of ``comparison.md``. ``failures``: the clips without a score of each variant, with reasons."""
    rows, protocol, found = comparison["rows"], comparison["protocol"], findings_of(comparison)
    has_sync = not found.fitness.is_unfit
    tables = report_tables(comparison, has_sync=has_sync)
    parts = [
        "# Comparison",
        found.fitness.text,
        "## Findings",
        bullets([*found.against_copy, *found.best, *found.still, *found.paper]),
        "## Caveats",
        bullets(found.caveats),
        "## Scores",
        setting(protocol),
        tables.scores.markdown(),
        intervals_note(comparison),
    ]
    if tables.seeds.cells:
        parts += [SEEDS_NOTE, tables.seeds.markdown()]
    if tables.differences.cells:
        parts += [tables.differences.markdown(), DIFFERENCES_NOTE]
    if tables.lips.cells:
        parts.append(tables.lips.markdown())
    if tables.probes.cells:
        parts += [tables.probes.markdown(), PROBES_NOTE]
    parts += [
        "## Comparison with the paper",
        PAPER_CAVEAT,
        ABLATION_TITLE,
        tables.ablation.markdown(),
        TABLE_1_TITLE,
        tables.table_1.markdown(),
        *([bullets(CAVEATS)] if has_sync else []),  # all of them are about LSE
    ]
    if any(failures.values()):
        parts += ["## Clips without a score", failure_table(failures).markdown()]
    if tables.edges.cells:
        parts += ["## LSE at the ends of clips", EDGE_NOTE, tables.edges.markdown()]
    parts += ["## Protocol", protocol_table(protocol).markdown(), "## Versions", version_table(rows).markdown()]
    return "\n\n".join(parts) + "\n"


def summary_text(comparison: Mapping[str, Any], page: str) -> str:
    """The content of ``summary.txt``, for a terminal: the answers, a narrow table, and where ``page`` is."""
    found = findings_of(comparison)
    table = short_table(comparison["rows"], has_sync=not found.fitness.is_unfit)
    return f"{bullets(found.answers)}\n\n{table.plain()}\n\nCaveats, intervals, charts and videos: {page}\n"
