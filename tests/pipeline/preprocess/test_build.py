from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.corpora.manifest import ClipRecord
from pipeline.preprocess import build as build_module
from pipeline.preprocess import shard
from pipeline.preprocess.build import UnseenClipsError
from pipeline.preprocess.plan import ShardResult
from pipeline.preprocess.shard import PackedShard
from pipeline.shards.index import Reject
from pipeline.shards.read import read_clips
from tests.support.builds import build, contents


def test_counts_add_up_and_the_shards_can_be_read(clips, params, tmp_path) -> None:
    rows, rejects = build(clips, params, tmp_path, "out")
    assert sorted(row.clip_id for row in rows) == ["s1/a", "s1/b", "s1/c", "s2/a"]
    assert [(reject.clip_id, reject.reason) for reject in rejects] == [("s2/gone", "missing_file")]
    assert pq.read_table(tmp_path / "out" / "rejects.parquet").num_rows == 1
    read = list(read_clips(tmp_path / "out", "train"))
    assert sorted(clip.clip_id for clip in read) == ["s1/a", "s1/b", "s1/c"]
    assert read[0].crops([0, 5]).shape == (2, 96, 96, 3)
    assert set(contents(tmp_path / "out")) == {
        "index.parquet",
        "rejects.parquet",
        "train/train-00000.tar",
        "train/train-00001.tar",
        "val/val-00000.tar",
    }


def test_a_shard_of_rejects_only_writes_no_tar(params, tmp_path) -> None:
    gone = [ClipRecord(f"s/{k}", "s", "train", f"{k}.mp4", 0, "", "") for k in range(3)]
    rows, rejects = build(gone, params, tmp_path, "out")
    assert (len(rows), len(rejects)) == (0, 3)
    assert set(contents(tmp_path / "out")) == {"index.parquet", "rejects.parquet"}


def test_an_interrupted_run_goes_on_where_it_was(clips, params, tmp_path, monkeypatch) -> None:
    build(clips, params, tmp_path, "whole")
    calls: list[str] = []
    real = shard.process_clip

    def counting(record, *rest):
        if record.clip_id == "s2/a" and "interrupted" not in calls:
            calls.append("interrupted")
            raise KeyboardInterrupt
        calls.append(record.clip_id)
        return real(record, *rest)

    monkeypatch.setattr(shard, "process_clip", counting)
    with pytest.raises(KeyboardInterrupt):
        build(clips, params, tmp_path, "out")
    assert calls[-1] == "interrupted"
    del calls[:-1]
    build(clips, params, tmp_path, "out")
    assert calls[1:] == ["s2/a", "s2/gone"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_tar_without_its_note_is_made_again(clips, params, tmp_path, monkeypatch) -> None:
    """The note is written last, so that a run killed between the two does not pass for finished."""
    written: list[str] = []
    real = build_module.atomic.write_json

    def dies_before_the_second_note(path: Path, content) -> None:
        written.append(path.name)
        if len(written) == 2:
            assert path.with_suffix(".tar").stat().st_size > 0
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(build_module.atomic, "write_json", dies_before_the_second_note)
    with pytest.raises(KeyboardInterrupt):
        build(clips, params, tmp_path, "out")
    (tmp_path / "out-work" / "train" / "train-00001.tar").write_bytes(b"half of it")
    build(clips, params, tmp_path, "out")
    build(clips, params, tmp_path, "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def missing(record: ClipRecord) -> Reject:
    return Reject(
        clip_id=record.clip_id,
        speaker=record.speaker,
        split=record.split,
        path=record.path,
        reason="missing_file",
        detail="no such file",
    )


def test_clips_that_only_this_machine_sees_are_an_error_on_a_cluster(clips, params, tmp_path, monkeypatch) -> None:
    def sees_nothing(tasks, process, num_workers):
        for task in tasks:
            rejects = tuple(missing(record) for record in task.records)
            yield PackedShard(ShardResult(task.name, (), rejects), None)

    monkeypatch.setattr(build_module, "run_tasks", sees_nothing)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    gone = [ClipRecord("s/gone", "s", "train", "gone.mp4", 0, "", "")]
    build(gone, params, tmp_path, "gone")
    with pytest.raises(UnseenClipsError, match=r"^2 clips of shard train.*storage that all nodes mount.*s3://"):
        build(clips, params, tmp_path, "out")
    assert not (tmp_path / "out").exists()
    assert contents(tmp_path / "out-work") == {}
