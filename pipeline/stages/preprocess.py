"""Stage ``preprocess``: shards of face crops, mel spectrograms and sound from the source clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import stage
from pipeline.core.errors import DataError
from pipeline.corpora.manifest import MAX_MISSING_SHARE, SPLITS, ClipRecord, read_manifest, require_enough
from pipeline.corpora.storage import local_path, require_drivers
from pipeline.shards.index import IndexRow, Reject


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("preprocess", _command, argv)


def _command() -> int:
    """Convert the listed clips to shards of face crops, mel spectrograms and sound in data/shards.

    The command has no options: params.yaml has them all.
    """
    return stage.run("preprocess", _body)


def _body(context: stage.StageContext) -> dict[str, Any]:
    from pipeline.preprocess.build import build_shards

    layout, params = context.layout, context.params
    records = read_manifest(layout.manifest_path)
    _require_files(records, layout.clips_root)
    rows, rejects = build_shards(
        records,
        params.preprocess,
        params.seed,
        root=layout.clips_root,
        output_dir=layout.shards_dir,
        work_dir=context.scratch,
        num_workers=params.runtime.num_workers,
        crop_px=params.train_gan.face_px,
    )
    require_enough(
        records,
        rows,
        rejects,
        by="preprocessing",
        remedy="Add clips, or change preprocess in params.yaml; data/shards/rejects.parquet lists each rejected clip "
        "with its reason",
    )
    return preprocess_metrics(rows, rejects)


def preprocess_metrics(rows: Sequence[IndexRow], rejects: Sequence[Reject]) -> dict[str, Any]:
    """Number of clips per split and of rejects per reason, and size of the data."""
    kept = Counter(row.split for row in rows)
    reasons = Counter(reject.reason for reject in rejects)
    num_frames = sum(row.num_frames for row in rows)
    return {
        "num_clips": len(rows),
        **{f"num_{split}_clips": kept[split] for split in SPLITS},
        "num_rejected": len(rejects),
        **{f"num_{reason}": count for reason, count in reasons.items()},
        "num_frames": num_frames,
        "minutes": sum(row.num_frames / row.fps for row in rows) / 60,
        "num_shards": len({row.shard for row in rows}),
        "mean_face_px": sum(row.stats["face_px"] for row in rows) / max(1, len(rows)),
    }


def _require_files(records: Sequence[ClipRecord], root: Path) -> None:
    require_drivers(record.path for record in records)
    on_disk = ((record.path, local_path(record.path, root)) for record in records)
    missing = [name for name, path in on_disk if path is not None and not path.is_file()]
    if len(missing) > MAX_MISSING_SHARE * len(records):
        raise DataError(
            f"{len(missing)} of {len(records)} source clips are not on disk (first: {missing[0]}); "
            "`dvc repro --force --single-item download` lists or renders the clips again"
        )


if __name__ == "__main__":
    raise SystemExit(main())
