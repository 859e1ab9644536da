"""The report's section on the data, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.doctor.advice import remedy_of
from pipeline.doctor.data import Survey, Tally
from pipeline.doctor.measures import CLIP_MEASURES, SYNC_NAMES, Measure, measure_spread, measured
from pipeline.doctor.sheet import Line
from pipeline.params import Params
from pipeline.report.tables import Table
from pipeline.shards.index import IndexRow

NUM_SPEAKERS = 20
"""Number of speakers in the table of speakers."""
_SPREAD_NOTE = "Median [5th percentile, 95th percentile] over the kept clips."


def data_markdown(survey: Survey, params: Params | None, lines: Sequence[Line], pictures: Sequence[Path]) -> list[str]:
    """Paragraphs: counts, reasons, percentiles per split and speaker, links to ``pictures``, worst clips."""
    return [
        *_counts(survey, params),
        *_spreads(survey),
        *_speakers(survey),
        *(f"![{path.stem.replace('_', ' ')}]({path.name})" for path in pictures),
        *_worst(lines),
    ]


def _counts(survey: Survey, params: Params | None) -> list[str]:
    cells = [_count_cells(tally) for tally in (*survey.splits, survey.total)]
    parts = [
        f"{len(survey.speakers)} speaker{'s' if len(survey.speakers) > 1 else ''}, {survey.minutes:.1f} minutes kept.",
        "### Clips",
        Table(["split", "listed", "kept", "rejected", "share"], cells).markdown(),
    ]
    if survey.rejects:
        num_examined = len(survey.kept) + len(survey.rejects)
        reasons = [
            [f"`{reason}`", remedy_of(reason, params), str(count), _percent(count / num_examined)]
            for reason, count in survey.reasons.items()
        ]
        parts += [
            "### Why clips were rejected",
            Table(["reason", "what to do", "clips", "of all"], reasons, num_text=2).markdown(),
        ]
    return parts


def _count_cells(tally: Tally) -> list[str]:
    return [tally.name, str(tally.listed), str(tally.kept), str(tally.rejected), _percent(tally.rejected_share)]


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _spreads(survey: Survey) -> list[str]:
    if not survey.kept:
        return []
    groups = {tally.name: survey.of_split(tally.name) for tally in survey.splits if tally.kept}
    if len(groups) > 1:
        groups["all"] = list(survey.kept)
    cells = [
        [_label(measure), *(_spread_text(rows, measure) for rows in groups.values())]
        for measure in measured(survey.kept)
    ]
    parts = ["### Statistics of the kept clips", _SPREAD_NOTE, Table(["", *groups], cells).markdown()]
    absent = [measure for measure in CLIP_MEASURES if measure not in measured(survey.kept)]
    if any(measure.name in SYNC_NAMES for measure in absent):
        parts.append("Sync was not measured: the index has no offsets or no confidence.")
    else:
        parts.append("The sync offset is positive if audio leads. It is the measured offset, before correction.")
    if lacking := [measure.title for measure in absent if measure.name not in SYNC_NAMES]:
        parts.append(
            f"An older version wrote the index, without {', '.join(lacking)}. `dvc repro sync_filter` adds them."
        )
    return parts


def _label(measure: Measure) -> str:
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def _spread_text(rows: Sequence[IndexRow], measure: Measure) -> str:
    spread = measure_spread(rows, measure)
    if spread is None:
        return "-"
    low, median, high = (f"{value:.{measure.decimals}f}" for value in spread[1:])
    return f"{median} [{low}, {high}]"


def _speakers(survey: Survey) -> list[str]:
    shown = survey.speakers[:NUM_SPEAKERS]
    measures = measured(survey.kept)
    rows_of: dict[str, list[IndexRow]] = {tally.name: [] for tally in shown}
    for row in survey.kept:
        if row.speaker in rows_of:
            rows_of[row.speaker].append(row)
    cells = [
        [*_count_cells(tally), *(_spread_text(rows_of[tally.name], measure) for measure in measures)] for tally in shown
    ]
    header = ["speaker", "listed", "kept", "rejected", "share", *map(_label, measures)]
    note = "Highest share of rejected clips first. " + _SPREAD_NOTE
    if (num_more := len(survey.speakers) - len(shown)) > 0:
        note += f" {num_more} more speakers, with the same or a lower share, are not shown."
    return ["### Speakers", note, Table(header, cells).markdown()]


def _worst(lines: Sequence[Line]) -> list[str]:
    if not lines:
        return []
    cells = [
        [line.title, f"`{row.clip_id}`", row.split, line.measure.text(value)]
        for line in lines
        for row, value in line.clips
    ]
    return ["### Worst clips", Table(["", "clip", "split", "value"], cells, num_text=3).markdown()]
