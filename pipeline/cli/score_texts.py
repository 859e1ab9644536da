"""What ``score`` and ``score-model`` print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.choices import JUDGE_NAMES
from pipeline.core.layout import Layout
from pipeline.report.tables import Table, number_text

if TYPE_CHECKING:
    from pipeline.evaluation.videos.folders import ScoredFolder
    from pipeline.params import Params

MAX_NAMED = 20
WITHHELD = "\n-: withheld, because the evaluator cannot judge these clips"
SCORE_COLUMNS = (
    *("LSE-D ↓", "LSE-C ↑", "LSE-C ↑, edge valid", "FID ↓", "1000 KID ↓", "≤ 1 frame ↑", "at limit"),
    *("opening ~ loudness ↑", "lips in pauses, px"),
)


def folder_text(found: ScoredFolder, real: Path, layout: Layout, params: Params) -> Iterator[str]:
    """The result of `score_folder` as lines: tables, and the remarks that say what they mean."""
    from pipeline.compare.intervals import few_clips_note, level
    from pipeline.evaluation.videos import against as comparing

    yield f"{found.figures['fitness']['text']}\n"
    if found.other is None:
        yield comparing.figures_table(found.figures).markdown()
    else:
        table, sentences = comparing.against_table(found.figures, found.clips, found.other, params.compare, params.seed)
        yield table.markdown()
        yield from ("", *sentences)
        yield from (f"note: {difference}" for difference in comparing.protocol_differences(found.figures, found.other))
    if found.has_intervals:
        yield f"\n[]: {level(params.compare.confidence)} interval over clips"
    if note := few_clips_note(len(found.clips)):
        yield f"\n{note}"
    if found.is_unfit:
        yield WITHHELD
    yield from remarks(found.figures)
    yield from found.encodings.sentences()
    if found.converted:
        num, first = len(found.converted), found.converted[0]
        yield f"clips resampled or cut before scoring: {num}, such as {first.pair.video_id}: {first.note}"
    if unmatched := found.figures["unmatched"]:
        yield f"not scored, since {real} has no video with these names: {_some(unmatched)}"
    if not found.is_unfit:
        yield from _on_evaluator(found.figures["evaluator"], layout)


def _on_evaluator(name: str, layout: Layout) -> Iterator[str]:
    """How far the LSE of this evaluator can be compared."""
    from pipeline.evaluation.evaluator_quality import accuracy_sentence
    from pipeline.inference.lse_evaluator import TRAINED

    if name == TRAINED:
        accuracy = accuracy_sentence(layout, "train_evaluator", "the evaluator")
        yield f"{accuracy}; on other clips its LSE may be less reliable"
    elif name in JUDGE_NAMES:
        yield f"LSE is comparable with other results of {name} only"


def comparison_table(name: str, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table with a model's metrics above a comparison's rows."""
    named = [(name, figures), *((f"`{row['variant']}`", row) for row in rows)]
    cells = [
        [
            label,
            number_text(found["lse_d"], ".3f"),
            number_text(found["lse_c"], ".3f"),
            number_text(found["lse_c_valid"], ".3f"),
            f"{found['fid']:.2f}",
            f"{1000 * found['kid']:.2f}",
            number_text(found["within_one_frame"], ".0%"),
            number_text(found["share_at_limit"], ".0%"),
            number_text(found["opening_correlation"], ".2f"),
            number_text(found["pause_motion_px"], ".2f"),
        ]
        for label, found in named
    ]
    return Table(["", *SCORE_COLUMNS], cells)


def remarks(figures: Mapping[str, Any]) -> Iterator[str]:
    """Numbers of clips and images, and what limits the metrics."""
    yield (
        f"\n{figures['num_clips']} clips scored, {figures['num_failed']} without a score; FID from "
        f"{figures['fid_num_images']} images per side; {figures['evaluator']} evaluator"
    )
    if figures["num_short_clips"] and figures["lse_c"] is not None:
        yield (
            f"short clips: {figures['num_short_clips']} of {figures['num_clips']} are so short that "
            "LSE-C mostly measures zero padding; the values 'edge valid' leave it out"
        )
    if reason := figures["lips_missing"]:
        yield reason
    failures = figures["failures"]
    for failure in failures[:MAX_NAMED]:
        yield f"no score: {failure['clip_id']}: {failure['reason']}"
    if len(failures) > MAX_NAMED:
        yield f"no score for {len(failures) - MAX_NAMED} more; --out writes all of them with reasons"


def _some(names: Sequence[str]) -> str:
    """The first ``MAX_NAMED`` names, and the number of the others."""
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"
