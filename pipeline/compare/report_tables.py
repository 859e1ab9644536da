"""The tables of scores that Markdown and page share, and the notes below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.compare.differences import Difference, difference
from pipeline.compare.findings import LSE
from pipeline.compare.intervals import MIN_INTERVAL_CLIPS, few_clips_note, level
from pipeline.compare.paper import ABLATION, REAL_VIDEO, TABLE_1, PaperScores
from pipeline.compare.seeds import averaged, mean_of, runs_of, seed_spread
from pipeline.report.tables import Table, number_text

Row = Mapping[str, Any]
LIP_COLUMNS = {"opening_correlation": "opening ~ loudness ↑", "pause_motion_px": "lips in pauses, px"}
"""Lip metric -> its column."""
BOUND_NAMES = {"real": "real video, own audio", "copy_input": "unchanged video, audio of another clip"}
PROBES_NOTE = (
    "Clips generated again with their own audio, compared with the real video, and with silence, where the mouth "
    "should rest. Motion in silence is a share of the motion under the own audio; head motion is a part of it. Warping "
    "is the error left after the real video's motion is compensated from frame to frame, divided by that of the real "
    "video. Above 1 the mouth flickers; far below 1 it is smoother than real video."
)
SEEDS_NOTE = "Mean and standard deviation over training runs with different seeds:"
EDGE_NOTE = (
    "In the published metric, audio beyond the ends of a clip is a zero vector. This changes LSE-C on clips of fewer "
    "than about 31 windows. Edge valid averages each shift over the windows whose audio exists, if there are at least "
    "5. On short clips it favours noise: a minimum over few windows is low by chance."
)
ABLATION_TITLE = "The paper's ablation:"
TABLE_1_TITLE = (
    "The paper's Table 1. The row of real video is Wav2Lip's. lipgan is a third variant beside LipGAN's two public "
    "ones: it has 69.2 million parameters at width 1, they have 71.3 and 49.5."
)
TABLE_1_ROWS = (*TABLE_1, REAL_VIDEO)
PAPER_CAVEAT = (
    "The paper's values are from LRS2, with another protocol and another evaluator. Compare the order of the rows, not "
    "the values."
)
DIFFERENCES_NOTE = (
    "Paired differences over clips. Their intervals are much narrower than those of the two means, because a clip that "
    "is hard for one variant is hard for the other. Variants with several seeds enter with their mean over seeds, and "
    "the bootstrap resamples training runs as well as clips. With few seeds the interval understates the spread over "
    "seeds. Videos that lack a score of one of the two are left out. Unclear: the interval contains 0."
)


def intervals_note(comparison: Mapping[str, Any]) -> str:
    """What the square brackets of the tables are, or why there are none."""
    confidence, num_all = comparison["intervals"]["confidence"], comparison["intervals"]["num_videos"]
    of_few = few_clips_note(num_all)
    if num_all < MIN_INTERVAL_CLIPS:
        return of_few
    return (
        f"Square brackets: {level(confidence)} confidence interval over clips, by bootstrap; for the share within one "
        "frame by Wilson's formula. FID and KID have no interval, because resampling images biases them."
    ) + (f" {of_few}" if of_few else "")


@dataclass(frozen=True)
class _Column:
    """A column of a table. ``is_sync``: whether its values depend on the evaluator."""

    head: str
    is_sync: bool


_ROW = _Column("row", is_sync=False)
_LSE_D, _LSE_C = _Column("LSE-D ↓", is_sync=True), _Column("LSE-C ↑", is_sync=True)
_FID, _KID = _Column("FID ↓", is_sync=False), _Column("1000 KID ↓", is_sync=False)
_NEAR = _Column("≤ 1 frame ↑", is_sync=True)
_OFFSET = _Column("median offset (at limit)", is_sync=True)
"""In frames, and the share of clips at the largest offset that is searched."""
_JITTER = _Column("jitter / real", is_sync=False)
_CLIPS, _SEEDS = _Column("clips", is_sync=False), _Column("seeds", is_sync=False)


def _table(columns: Sequence[_Column], cells: Sequence[Sequence[str]], *, has_sync: bool) -> Table:
    """The table, without ``has_sync`` only its columns that do not depend on the evaluator.

    The first column names the rows. No cells if no other column is left.
    """
    kept = [place for place, column in enumerate(columns) if has_sync or not column.is_sync]
    left = [[line[place] for place in kept] for line in cells] if len(kept) > 1 else []
    return Table([columns[place].head for place in kept], left)


@dataclass(frozen=True)
class ReportTables:
    """The tables of Markdown and page. A table without cells is not shown."""

    scores: Table
    seeds: Table
    differences: Table
    lips: Table
    probes: Table
    ablation: Table
    table_1: Table
    edges: Table


def report_tables(comparison: Mapping[str, Any], *, has_sync: bool) -> ReportTables:
    """All tables of a comparison. Without ``has_sync`` they have no column that depends on the evaluator."""
    rows = comparison["rows"]
    return ReportTables(
        scores=our_table(rows, has_sync=has_sync),
        seeds=seed_table(rows, has_sync=has_sync),
        differences=difference_table(comparison, has_sync=has_sync),
        lips=lip_table(rows, has_sync=has_sync),
        probes=probe_table(rows, has_sync=has_sync),
        ablation=beside_paper(rows, ABLATION, has_sync=has_sync),
        table_1=beside_paper(rows, TABLE_1_ROWS, has_sync=has_sync),
        edges=edge_table(rows, has_sync=has_sync),
    )


def our_table(rows: Sequence[Row], *, has_sync: bool) -> Table:
    """Scores of all rows, with intervals in square brackets."""
    columns = [_ROW, _LSE_D, _LSE_C, _FID, _KID, _NEAR, _OFFSET, _JITTER, _CLIPS]
    cells = []
    for row in rows:
        name = f"`{row['variant']}`"
        if row["variant"] in BOUND_NAMES:
            name += f" ({BOUND_NAMES[row['variant']]})"
        cells.append(
            [
                name,
                *(_with_interval(row, key, ".3f") for key in ("lse_d", "lse_c")),
                f"{row['fid']:.2f}",
                f"{1000 * row['kid']:.2f}",
                _with_interval(row, "within_one_frame", ".0%"),
                f"{number_text(row['offset_median_frames'], '+g')} ({number_text(row['share_at_limit'], '.0%')})",
                _with_interval(row, "jitter_ratio", ".2f"),
                str(row["num_clips"]) + (f" ({row['num_failed']} failed)" if row["num_failed"] else ""),
            ]
        )
    return _table(columns, cells, has_sync=has_sync)


def short_table(rows: Sequence[Row], *, has_sync: bool) -> Table:
    """Scores of all variants without intervals, narrow enough for a terminal; means over seeds."""
    columns = [_Column("", is_sync=False), _LSE_D, _LSE_C, _FID, _NEAR, _SEEDS]
    cells = [
        [
            name,
            number_text(row["lse_d"], ".3f"),
            number_text(row["lse_c"], ".3f"),
            f"{row['fid']:.2f}",
            number_text(row["within_one_frame"], ".0%"),
            "-" if name in BOUND_NAMES else str(row["num_seeds"]),
        ]
        for name, row in averaged(rows).items()
    ]
    return _table(columns, cells, has_sync=has_sync)


def _with_interval(row: Row, key: str, form: str) -> str:
    bounds = row.get(f"{key}_ci")
    return number_text(row[key], form) + (f" {_interval(bounds, form)}" if bounds else "")


def _interval(bounds: Sequence[float], form: str) -> str:
    return f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"


def lip_table(rows: Sequence[Row], *, has_sync: bool) -> Table:
    """Lip metrics of all rows, with intervals in square brackets; no cells if no row has one."""
    measured = any(row[key] is not None for row in rows for key in LIP_COLUMNS)
    cells = [[f"`{row['variant']}`", *(_with_interval(row, key, ".2f") for key in LIP_COLUMNS)] for row in rows]
    columns = [_ROW, *(_Column(head, is_sync=False) for head in LIP_COLUMNS.values())]
    return _table(columns, cells if measured else [], has_sync=has_sync)


def probe_table(rows: Sequence[Row], *, has_sync: bool) -> Table:
    """Scores of generated clips with a known result (``evaluation.probes``); no cells without probes."""
    heads = ("SSIM, own audio ↑", "PSNR, own audio ↑", "warping / real", "motion in silence ↓")
    columns = [_ROW, *(_Column(head, is_sync=False) for head in heads), _CLIPS]
    cells = [
        [
            f"`{row['variant']}`",
            f"{row['reconstruction_ssim']:.3f}",
            f"{row['reconstruction_psnr_db']:.2f} dB",
            f"{row['reconstruction_warping_error'] / row['real_warping_error']:.2f}",
            f"{row['silence_motion']:.0%}",
            str(row["num_probes"]),
        ]
        for row in rows
        if "silence_motion" in row
    ]
    return _table(columns, cells, has_sync=has_sync)


def seed_table(rows: Sequence[Row], *, has_sync: bool) -> Table:
    """Mean and standard deviation over the runs of every variant with several seeds; no cells without one."""
    columns = [_Column("variant", is_sync=False), _LSE_D, _LSE_C, _FID, _NEAR, _JITTER, _SEEDS]
    forms = {"lse_d": ".3f", "lse_c": ".3f", "fid": ".2f", "within_one_frame": ".0%", "jitter_ratio": ".2f"}
    cells = []
    for name, runs in runs_of(rows).items():
        if len(runs) > 1:
            figures = [
                f"{number_text(mean_of(runs, key), form)} ± {number_text(seed_spread(runs, key), form)}"
                for key, form in forms.items()
            ]
            cells.append([f"`{name}`", *figures, str(len(runs))])
    return _table(columns, cells, has_sync=has_sync)


def difference_table(comparison: Mapping[str, Any], *, has_sync: bool) -> Table:
    """Mean of the first generator minus that of every other row, with interval, and whether it is better or worse.

    A row with fewer videos than the whole comparison states their number. No cells without a generator, or with too few
    clips for intervals.
    """
    names = list(averaged(comparison["rows"]))
    first = next((name for name in names if name not in BOUND_NAMES), "")
    apart, cells = comparison["differences"], []
    for other in names:
        leads = [(paired, sign) for _, key, sign in LSE if (paired := difference(apart, first, other, key))]
        if leads:
            num, num_all = leads[0][0].num_videos, comparison["intervals"]["num_videos"]
            of_fewer = f" ({num} of {num_all} videos)" if num < num_all else ""
            cells.append([f"`{other}`{of_fewer}", *(_lead(paired, sign) for paired, sign in leads)])
    return _table([_Column(f"`{first}` minus", is_sync=False), _LSE_D, _LSE_C], cells, has_sync=has_sync)


def _lead(paired: Difference, sign: int) -> str:
    bounds = paired.interval
    verdict = "unclear" if bounds.has_zero else "better" if sign * paired.mean > 0 else "worse"
    return f"{paired.mean:+.3f} {_interval((bounds.low, bounds.high), '+.3f')} {verdict}"


def beside_paper(rows: Sequence[Row], printed: Sequence[PaperScores], *, has_sync: bool) -> Table:
    """Our values (means over seeds) and the paper's side by side; a dash for a missing value."""
    by_name = averaged(rows)
    metrics = (("LSE-D", "lse_d", ".3f", True), ("LSE-C", "lse_c", ".3f", True), ("FID", "fid", ".2f", False))
    sides = [_Column(f"{name} {side}", is_sync) for name, _, _, is_sync in metrics for side in ("ours", "paper")]
    cells = []
    for theirs in printed:
        ours = by_name.get(theirs.variant or "")
        line = [f"`{theirs.variant}` ({theirs.method})"]
        for _, key, form, _ in metrics:
            value = getattr(theirs, key)
            line.append(number_text(ours[key] if ours else None, form))
            line.append("-" if value is None else f"{value:.3f}")
        cells.append(line)
    return _table([_ROW, *sides], cells, has_sync=has_sync)


def edge_table(rows: Sequence[Row], *, has_sync: bool) -> Table:
    """LSE as published, and without the zero vectors for audio beyond the ends of a clip."""
    columns = [_ROW, *(_Column(head, is_sync=True) for head in ("LSE-D", "edge valid", "LSE-C", "edge valid"))]
    keys = ("lse_d", "lse_d_valid", "lse_c", "lse_c_valid")
    cells = [[f"`{row['variant']}`", *(number_text(row[key], ".3f") for key in keys)] for row in rows]
    return _table(columns, cells, has_sync=has_sync)
