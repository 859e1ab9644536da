from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.manifest import ClipRecord
from pipeline.params import PreprocessParams
from pipeline.preprocess import build
from pipeline.preprocess.build import WorkerError, build_shards, run_tasks
from pipeline.preprocess.plan import ShardResult, ShardTask, plan_shards
from pipeline.shards.read import read_clips


@pytest.fixture
def clips(make_clip, tmp_path: Path) -> list[ClipRecord]:
    good = [make_clip(f"s1/{name}", num_frames=26) for name in "abc"]
    held_out = make_clip("s2/a", num_frames=26, split="val")
    gone = ClipRecord("s2/gone", "s2", "val", "clips/gone.mp4", 0, "", "")
    return [*good, held_out, gone]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def run(clips: list[ClipRecord], params: PreprocessParams, tmp_path: Path, name: str, num_workers: int = 1):
    return build_shards(
        clips,
        params,
        seed=3,
        root=tmp_path,
        output_dir=tmp_path / name,
        work_dir=tmp_path / f"{name}-work",
        num_workers=num_workers,
    )


def test_counts_add_up_and_the_shards_can_be_read(clips, params, tmp_path) -> None:
    rows, rejects = run(clips, params, tmp_path, "out")
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
    rows, rejects = run(gone, params, tmp_path, "out")
    assert (len(rows), len(rejects)) == (0, 3)
    assert set(contents(tmp_path / "out")) == {"index.parquet", "rejects.parquet"}


def test_an_interrupted_run_goes_on_where_it_was(clips, params, tmp_path, monkeypatch) -> None:
    run(clips, params, tmp_path, "whole")
    calls: list[str] = []
    real = build.process_clip

    def counting(record, *rest):
        if record.clip_id == "s2/a" and "interrupted" not in calls:
            calls.append("interrupted")
            raise KeyboardInterrupt
        calls.append(record.clip_id)
        return real(record, *rest)

    monkeypatch.setattr(build, "process_clip", counting)
    with pytest.raises(KeyboardInterrupt):
        run(clips, params, tmp_path, "out")
    assert calls[-1] == "interrupted"
    del calls[:-1]
    run(clips, params, tmp_path, "out")
    assert calls[1:] == ["s2/a", "s2/gone"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.fixture(scope="module")
def ray_on_two_cores() -> Iterator[None]:
    with build._ray(2):
        yield


@pytest.mark.slow
def test_workers_change_no_byte(clips, params, tmp_path, ray_on_two_cores) -> None:
    run(clips, params, tmp_path, "inline", num_workers=1)
    run(clips, params, tmp_path, "ray", num_workers=2)
    assert contents(tmp_path / "ray") == contents(tmp_path / "inline")


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_but_not_for_ever(tmp_path, ray_on_two_cores, monkeypatch) -> None:
    monkeypatch.setattr(build, "MAX_RETRIES", 1)
    clips = [ClipRecord(f"s/{k}", "s", "train", "", 0, "", "") for k in range(4)]
    tasks = plan_shards(clips, 1, seed=0)
    marker = tmp_path / "died"

    def dies_once(task: ShardTask) -> ShardResult:
        if task.name == tasks[2].name and not marker.exists():
            marker.touch()
            os._exit(1)
        return ShardResult(task.name, (), ())

    done = {result.name for result in run_tasks(tasks, dies_once, 2)}
    assert marker.exists()
    assert done == {task.name for task in tasks}

    def always_dies(task: ShardTask) -> ShardResult:
        os._exit(1)

    with pytest.raises(WorkerError, match=r"train-00000.*its clips are s/"):
        list(run_tasks(tasks[:2], always_dies, 2))
