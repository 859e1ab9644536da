from __future__ import annotations

import pytest

from pipeline.manifest import ClipRecord
from pipeline.shards.write import IndexRow, Reject
from pipeline.stage import DataError
from pipeline.stages import preprocess


def row(clip_id: str, split: str, num_frames: int = 75) -> IndexRow:
    return IndexRow(
        clip_id=clip_id,
        key=clip_id,
        speaker="s",
        split=split,
        shard=f"{split}/{split}-00000.tar",
        fps=25.0,
        num_frames=num_frames,
        num_samples=48_000,
        num_bytes=1,
        stats={"face_px": 100.0},
    )


def reject(clip_id: str, split: str, reason: str) -> Reject:
    return Reject(clip_id=clip_id, speaker="s", split=split, path="", reason=reason, detail="")


def test_metrics_count_clips_and_reasons() -> None:
    rows = [row("a", "train"), row("b", "train"), row("c", "val")]
    rejects = [reject("d", "train", "no_face"), reject("e", "val", "no_face"), reject("f", "val", "no_audio")]
    assert preprocess.summarise(rows, rejects) == {
        "num_clips": 3,
        "num_train_clips": 2,
        "num_val_clips": 1,
        "num_test_clips": 0,
        "num_rejected": 3,
        "num_no_face": 2,
        "num_no_audio": 1,
        "num_frames": 225,
        "minutes": pytest.approx(0.15),
        "num_shards": 2,
        "mean_face_px": 100.0,
    }


def test_a_split_without_a_clip_left_is_an_error_with_reasons() -> None:
    records = [ClipRecord(name, "s", split, "", 0, "", "") for name, split in (("a", "train"), ("b", "val"))]
    with pytest.raises(DataError, match=r"val split was rejected \(1 no_face\)"):
        preprocess._require_every_split(records, [row("a", "train")], [reject("b", "val", "no_face")])
