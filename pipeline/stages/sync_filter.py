"""Stage ``sync_filter``: selects the clips to use and the correction of their audio offset.

It copies no clips: its index refers to the shards, and readers apply the correction.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import stage
from pipeline.corpora.manifest import SPLITS, read_manifest, require_enough
from pipeline.features.alignment import num_samples_of
from pipeline.report.progress import tracked
from pipeline.shards.index import IndexRow, Reject
from pipeline.shards.key import source_of
from pipeline.shards.write import write_index, write_rejects
from pipeline.sync_filter.decision import SyncScore, correction_frames, rejection, score_clip

if TYPE_CHECKING:
    from pipeline.shards.clip import Clip
    from pipeline.sync_filter.scorer import Scorer


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("sync_filter", _command, argv)


def _command() -> int:
    """Select the clips to use and correct their audio offset, in data/clips.

    Without sync_filter.scorer in params.yaml all clips are used unchanged. The command has no options: params.yaml has
    them all.
    """
    return stage.run("sync_filter", _body)


def _body(context: stage.StageContext) -> dict[str, Any]:
    from pipeline.shards.read import read_index, read_rejects

    layout, params = context.layout, context.params.sync_filter
    rows, rejects = read_index(layout.shards_dir), read_rejects(layout.shards_dir)
    kept, rejected, scores = rows, list[Reject](), list[SyncScore]()
    if params.scorer is not None:
        kept, rejected, scores = _filtered(context, rows)
    require_enough(
        rows,
        kept,
        rejected,
        by="the sync filter",
        remedy="Change sync_filter in params.yaml, or use a scorer that was trained on similar faces",
    )
    to_shards = Path(os.path.relpath(layout.shards_dir, layout.clips_dir)).as_posix()
    write_index(layout.clips_dir, [replace(row, shard=f"{to_shards}/{row.shard}") for row in kept])
    write_rejects(layout.clips_dir, [*rejects, *rejected])
    return sync_metrics(kept, rejected, scores)


def _filtered(
    context: stage.StageContext, rows: list[IndexRow]
) -> tuple[list[IndexRow], list[Reject], list[SyncScore]]:
    """The rows to keep, with shift, offset and confidence, the rejects, and all scores."""
    from pipeline.inference.device import select_device, set_threads
    from pipeline.shards.read import shared_geometry
    from pipeline.sync_filter.scorer import load_scorer

    params, runtime = context.params.sync_filter, context.params.runtime
    set_threads(runtime.num_threads)
    scorer = load_scorer(params, context.layout.root, select_device(runtime.device), shared_geometry(rows))
    paths = {record.clip_id: record.path for record in read_manifest(context.layout.manifest_path)}
    kept = [row for row in rows if row.split not in params.splits]
    rejected: list[Reject] = []
    scores: list[SyncScore] = []
    row_of = {(row.split, row.key): row for row in rows}
    for clip in tracked(_clips(context, scorer), "sync_filter", len(rows) - len(kept)):
        row = row_of[clip.split, clip.key]
        score = score_clip(scorer.similarity(clip), params.max_shift_frames)
        scores.append(score)
        reason = rejection(score, row.num_frames, params, context.params.preprocess.min_frames)
        if reason is None:
            kept.append(corrected(row, score, correction_frames(score, params)))
        else:
            code, detail = reason
            rejected.append(
                Reject(
                    clip_id=row.clip_id,
                    speaker=row.speaker,
                    split=row.split,
                    path=paths.get(row.clip_id) or paths[source_of(row.clip_id)],
                    reason=code.value,
                    detail=detail,
                )
            )
    return kept, rejected, scores


def corrected(row: IndexRow, score: SyncScore, shift_frames: int) -> IndexRow:
    """The row of the corrected clip, which is shorter by the shift that readers undo."""
    num_frames = row.num_frames - abs(shift_frames)
    found = {"sync_offset_frames": float(score.offset_frames), "sync_confidence": score.confidence}
    return replace(
        row,
        num_frames=num_frames,
        num_samples=num_samples_of(num_frames),
        sync_shift_frames=shift_frames,
        stats={**row.stats, **found},
    )


def _clips(context: stage.StageContext, scorer: Scorer) -> Iterator[Clip]:
    from pipeline.shards.read import read_clips

    for split in SPLITS:
        if split in context.params.sync_filter.splits:
            yield from read_clips(context.layout.shards_dir, split, parts=scorer.parts)


def sync_metrics(kept: list[IndexRow], rejected: list[Reject], scores: list[SyncScore]) -> dict[str, Any]:
    """Number of clips per split and of rejects per reason, and mean offset and median confidence of the clips."""
    counts = Counter(row.split for row in kept)
    metrics: dict[str, Any] = {
        "num_clips": len(kept),
        **{f"num_{split}_clips": counts[split] for split in SPLITS},
        "num_scored": len(scores),
        "num_rejected": len(rejected),
        **{f"num_{reason}": count for reason, count in Counter(reject.reason for reject in rejected).items()},
        "num_corrected": sum(row.sync_shift_frames != 0 for row in kept),
    }
    if scores:
        metrics["median_confidence"] = float(np.median([score.confidence for score in scores]))
        metrics["mean_abs_offset_frames"] = float(np.mean([abs(score.offset_frames) for score in scores]))
    return metrics


if __name__ == "__main__":
    raise SystemExit(main())
