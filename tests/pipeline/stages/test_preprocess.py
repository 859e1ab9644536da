"""Stage ``preprocess``: metrics, missing files, too few clips."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from pipeline.core.errors import DataError, TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.ray_cluster import WorkerError
from pipeline.corpora.manifest import ClipRecord, require_enough
from pipeline.corpora.storage import NoDriverError, OutageError
from pipeline.params import load_params
from pipeline.preprocess import build
from pipeline.shards.index import IndexRow, Reject
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
    assert preprocess.preprocess_metrics(rows, rejects) == {
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


def record(clip_id: str, split: str, path: str = "") -> ClipRecord:
    return ClipRecord(clip_id, "s", split, path, 0, "", "")


def test_a_split_with_too_few_clips_left_is_an_error_with_reasons() -> None:
    records = [record(name, split) for name, split in (("a", "train"), ("b", "val"), ("c", "test"), ("d", "test"))]
    rows = [row("a", "train"), row("b", "val"), row("c", "test"), row("d", "test")]

    def require(rows: list[IndexRow], rejects: list[Reject]) -> None:
        require_enough(records, rows, rejects, by="it", remedy="Add clips")

    require(rows, [])
    with pytest.raises(DataError) as found:
        require([rows[0], *rows[2:]], [reject("b", "val", "no_face")])
    assert str(found.value) == (
        "it keeps 0 of 1 clips of the split val, but at least 1 are required (rejected: 1 no_face). Add clips"
    )
    with pytest.raises(DataError, match=r"it keeps 1 of 2 .* split test, .* 2 are required \(rejected: none\)"):
        require(rows[:3], [reject("b", "val", "no_face")])


def test_many_missing_clips_are_an_error_and_one_missing_clip_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    present = [record(str(k), "train", "a.mp4") for k in range(9)]
    preprocess._require_files([*present, record("x", "train", "x.mp4")], tmp_path)
    with pytest.raises(DataError, match=r"10 of 19 source clips .*\(first: x\.mp4\).*--force --single-item download`"):
        preprocess._require_files([*present, *[record(str(k), "train", "x.mp4") for k in range(10)]], tmp_path)


def test_remote_clips_are_not_required_on_disk(tmp_path: Path) -> None:
    remote = [record(str(k), "train", f"memory://clips/{k}.mp4") for k in range(9)]
    preprocess._require_files(remote, tmp_path)
    preprocess._require_files([*remote, record("x", "train", "x.mp4")], tmp_path)
    with pytest.raises(DataError, match=r"2 of 11 .*\(first: x\.mp4\)"):
        preprocess._require_files([*remote, record("x", "train", "x.mp4"), record("y", "train", "y.mp4")], tmp_path)
    with pytest.raises(NoDriverError, match="nosuch://"):
        preprocess._require_files([*remote, record("x", "train", "nosuch://x.mp4")], tmp_path)


@pytest.mark.parametrize("error", [WorkerError("a node"), OutageError("storage")])
def test_failures_of_workers_and_storage_are_temporary(error: Exception, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(preprocess, "read_manifest", lambda path: [])
    monkeypatch.setattr(build, "build_shards", fail)
    context = MagicMock(layout=Layout(tmp_path))
    with pytest.raises(TemporaryError, match=str(error)):
        preprocess._body(context)


def test_the_crops_have_the_size_of_the_generators(repo_root: Path, tmp_path: Path, monkeypatch) -> None:
    params = load_params(repo_root / "params.yaml")
    params = params.model_copy(update={"train_gan": params.train_gan.model_copy(update={"face_px": 192})})
    build_shards = MagicMock(side_effect=OutageError("stop here"))
    monkeypatch.setattr(preprocess, "read_manifest", lambda path: [])
    monkeypatch.setattr(build, "build_shards", build_shards)
    with pytest.raises(OutageError):
        preprocess._body(MagicMock(layout=Layout(tmp_path), params=params))
    assert build_shards.call_args.kwargs["crop_px"] == 192
