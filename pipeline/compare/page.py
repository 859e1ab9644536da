"""The comparison as one self-contained HTML file with tables, charts and videos."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from pipeline.compare import charts
from pipeline.compare.findings import findings_of
from pipeline.compare.paper import CAVEATS
from pipeline.compare.plots import Curve, colours
from pipeline.compare.report import setting
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
)
from pipeline.compare.seeds import averaged
from pipeline.compare.setting_tables import failure_table, protocol_table, version_table
from pipeline.compare.table import Result
from pipeline.core.artifacts import read_json
from pipeline.core.choices import BOUNDS
from pipeline.corpora.manifest import SPLITS
from pipeline.report.plot_style import DARK, LIGHT, Theme
from pipeline.report.tables import Table
from pipeline.shards.index import IndexRow, Reject

_FILES = Path(__file__).with_name("page_files")
_SCORES = (
    ("LSE-D", "lse_d", 2, "lower is better"),
    ("LSE-C", "lse_c", 2, "higher is better"),
    ("FID", "fid", 1, "lower is better"),
)


@dataclass(frozen=True)
class Player:
    """The video of one row for a take."""

    variant: str
    remark: str
    mp4: str


@dataclass(frozen=True)
class SharedClip:
    """One clip with its video from every row."""

    clip_id: str
    caption: str
    players: Sequence[Player]


@dataclass(frozen=True)
class Chart:
    title: str
    remark: str
    svg: str


def page(
    comparison: Mapping[str, Any],
    results: Sequence[Result],
    takes: Sequence[SharedClip],
    curves: Mapping[str, Curve],
    panels: Mapping[str, str],
    kept: Sequence[IndexRow],
    rejects: Sequence[Reject],
    profile: str,
    rerun: str,
) -> str:
    """The content of ``index.html``.

    If the evaluator cannot judge the clips, the page has no score, chart or table of sync.

    ``comparison``: as from ``table.comparison``. ``curves``: columns of the training curve per variant. ``panels``: the
    columns to show, with their titles. ``kept`` and ``rejects``: the clips that preprocessing kept and rejected.
    ``rerun``: the commands that repeat the comparison.
    """
    rows, protocol = comparison["rows"], comparison["protocol"]
    variants = [row["variant"] for row in rows]
    repeats = {row["variant"]: row["repeats"] for row in rows if "repeats" in row}
    found = findings_of(comparison)
    has_sync = not found.fitness.is_unfit
    metrics = [metric for metric in _SCORES if has_sync or metric[1] == "fid"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FILES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["code"] = _with_code
    return environment.get_template("page.html").render(
        css=Markup((_FILES / "page.css").read_text()),
        js=Markup((_FILES / "page.js").read_text()),
        variants=variants,
        light=_css_colours(variants, repeats, LIGHT),
        dark=_css_colours(variants, repeats, DARK),
        num_generators=sum(name not in BOUNDS for name in averaged(rows)),
        num_pairs=protocol["num_pairs"],
        found=found,
        has_sync=has_sync,
        takes=takes,
        setting=setting(protocol),
        tables=report_tables(comparison, has_sync=has_sync),
        intervals_note=intervals_note(comparison),
        seeds_note=SEEDS_NOTE,
        differences_note=DIFFERENCES_NOTE,
        probes_note=PROBES_NOTE,
        charts=[Chart(title, remark, charts.intervals(rows, key, digits)) for title, key, digits, remark in metrics],
        paper_caveat=PAPER_CAVEAT,
        paper_caveats=CAVEATS if has_sync else [],
        ablation_title=ABLATION_TITLE,
        table_1_title=TABLE_1_TITLE,
        edge_note=EDGE_NOTE,
        offsets=[_offset_chart(result, variants.index(result.variant)) for result in results] if has_sync else [],
        trained=[(variants.index(name), name) for name in curves if name not in repeats],
        training=_training_charts(curves, panels, variants),
        splits=split_table(kept, rejects),
        rejects=reject_table(rejects),
        failures=failure_table({result.variant: result.metrics["failures"] for result in results}),
        protocol=protocol_table(protocol),
        versions=version_table(rows),
        rerun=rerun,
        profile=profile,
    )


def read_takes(folders: Mapping[str, Path], results: Mapping[str, Result]) -> list[SharedClip]:
    """The takes in the rows' ``takes`` folders, in the order of the first row that has them.

    ``folders``: ``artifacts/evaluate/<variant>`` per row. The caption is that of a row with the audio of another clip.
    """
    players: dict[str, list[Player]] = {}
    captions: dict[str, tuple[str, str]] = {}
    for variant, folder in folders.items():
        for take in read_json(folder / "takes" / "takes.json")["takes"]:
            content = base64.b64encode((folder / "takes" / take["file"]).read_bytes()).decode()
            score = results[variant].clips.get((take["clip_id"], take["audio_clip_id"]))
            remark = "" if score is None else f"LSE-C {score.lse_c:.2f}"
            players.setdefault(take["clip_id"], []).append(Player(variant, remark, content))
            if variant != "real" or take["clip_id"] not in captions:
                captions[take["clip_id"]] = take["clip_id"], take["caption"]
    return [SharedClip(*captions[clip_id], players=found) for clip_id, found in players.items()]


def split_table(kept: Sequence[IndexRow], rejects: Sequence[Reject]) -> Table:
    """Number of clips, speakers, minutes and rejected clips of every split."""
    cells = []
    for split in SPLITS:
        rows = [row for row in kept if row.split == split]
        minutes = sum(row.num_frames / row.fps for row in rows) / 60
        speakers = len({row.speaker for row in rows})
        left_out = sum(reject.split == split for reject in rejects)
        cells.append([split, str(len(rows)), str(speakers), f"{minutes:.1f}", str(left_out)])
    return Table(["split", "clips", "speakers", "minutes", "rejected"], cells)


def reject_table(rejects: Sequence[Reject]) -> Table:
    """Number of rejected clips for each reason, most frequent first, with the detail of the first clip."""
    counts = Counter(reject.reason for reject in rejects)
    first = {reject.reason: f"{reject.clip_id}: {reject.detail}" for reject in reversed(rejects)}
    cells = [[f"`{reason}`", first[reason], str(count)] for reason, count in counts.most_common()]
    return Table(["reason", "example", "clips"], cells, num_text=2)


def _css_colours(variants: Sequence[str], repeats: Mapping[str, str], theme: Theme) -> dict[str, str]:
    """CSS variable -> colour, of text, rules and each row."""
    shared = {"--ink": theme.ink, "--muted": theme.muted, "--rule": theme.rule, "--near": theme.near}
    rows = colours(variants, repeats, theme)
    return shared | {f"--series-{number}": rows[name] for number, name in enumerate(variants)}


def _offset_chart(result: Result, number: int) -> Chart:
    near = f"{result.metrics['within_one_frame']:.0%} within one frame"
    return Chart(result.variant, near, charts.histogram(result.offset_histogram, number, result.variant))


def _training_charts(curves: Mapping[str, Curve], panels: Mapping[str, str], variants: Sequence[str]) -> list[Chart]:
    shown = []
    for column, title in panels.items():
        lines = {variants.index(name): curve[column] for name, curve in curves.items() if curve.get(column)}
        if lines:
            shown.append(Chart(title, "", charts.curves(lines, title)))
    return shown


def _with_code(text: str) -> Markup:
    """The text escaped for HTML, with text between backticks as code, and without line breaks in LSE-D and LSE-C."""
    marked = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"LSE-[DC]", r'<span class="whole">\g<0></span>', marked))
