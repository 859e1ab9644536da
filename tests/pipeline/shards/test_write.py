"""Shards: the bytes, the names, the index."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import UserError
from pipeline.shards.index import IndexRow, Reject
from pipeline.shards.read import read_index, sync_shifts
from pipeline.shards.write import ClipSample, write_index, write_rejects, write_shard

MakeSample = Callable[..., ClipSample]


def test_equal_samples_give_equal_bytes(tmp_path: Path, make_sample: MakeSample) -> None:
    ids = ["a", "b", "c"]
    rows = write_shard(tmp_path, "train/train-00000.tar", (make_sample(name) for name in ids))
    same_rows = write_shard(tmp_path / "again", "train/train-00000.tar", [make_sample(name) for name in ids])
    first, second = (folder / "train/train-00000.tar" for folder in (tmp_path, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()
    assert rows == same_rows
    assert [row.key for row in rows] == ids
    assert [entry.name for entry in (tmp_path / "train").iterdir()] == ["train-00000.tar"]


def test_tar_members_carry_no_trace_of_time_or_user(tmp_path: Path, make_sample: MakeSample) -> None:
    rows = write_shard(tmp_path, "x.tar", [make_sample("s1/a.b")])
    with tarfile.open(tmp_path / "x.tar") as tar:
        infos = tar.getmembers()
        description = json.load(tar.extractfile("s1_a_b.json"))  # type: ignore[arg-type]
    suffixes = ["audio.npy", "context.mjpeg", "frames.mjpeg", "json", "mel.npy"]
    assert [info.name for info in infos] == [f"s1_a_b.{suffix}" for suffix in suffixes]
    assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info in infos} == {(0, 0, 0, "lipsmith", 0o444)}
    assert sum(info.size for info in infos) == rows[0].num_bytes
    assert description["clip_id"] == "s1/a.b"
    assert description["num_frames"] == 4
    assert description["num_samples"] == 2560
    assert description["crop_in_context"][0] == [4.0, 4.0, 20.0, 20.123]
    assert description["transcript"] == "words of s1/a.b é"


def test_clips_with_one_key_are_refused(tmp_path: Path, make_sample: MakeSample) -> None:
    with pytest.raises(UserError, match=r"'a\.b' and 'a/b' have the same key a_b"):
        write_shard(tmp_path, "x.tar", [make_sample("a.b"), make_sample("a/b")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_bytes": [1, 2, 3, 4]}, "frame_bytes do not add up"),
        ({"context_bytes": []}, "0 context frames"),
        ({"crop_in_context": np.zeros((3, 4))}, "crop_in_context"),
        ({"other_crops_in_context": {"box": np.zeros((3, 4))}}, r"other_crops_in_context box \(3, 4\)"),
        ({"mel": np.zeros((5, 80))}, "mel float64"),
        ({"audio": np.zeros(5, np.float32)}, "audio float32"),
    ],
)
def test_parts_that_disagree_are_refused(change: dict[str, object], message: str, make_sample: MakeSample) -> None:
    sample = make_sample("a")
    values = {field.name: getattr(sample, field.name) for field in dataclasses.fields(ClipSample)}
    with pytest.raises(ValueError, match=f"clip a .*{message}"):
        ClipSample(**{**values, **change})


def index_row(key: str, split: str = "train", clip_id: str | None = None, **stats: float) -> IndexRow:
    return IndexRow(
        clip_id=clip_id or key,
        key=key,
        speaker="s",
        split=split,
        shard=f"{split}/{split}-00000.tar",
        fps=25.0,
        num_frames=75,
        num_samples=48_000,
        num_bytes=1,
        stats=stats,
    )


def test_index_is_sorted_typed_and_reproducible(tmp_path: Path) -> None:
    rows = [index_row("b", face_px=90.0), index_row("a"), index_row("c", split="test", blur=0.5)]
    write_index(tmp_path, rows)
    first = (tmp_path / "index.parquet").read_bytes()
    write_index(tmp_path, reversed(rows))
    assert (tmp_path / "index.parquet").read_bytes() == first
    table = pq.read_table(tmp_path / "index.parquet")
    assert table.column("key").to_pylist() == ["c", "a", "b"]
    assert table.column("face_px").to_pylist() == [None, None, 90.0]
    types = {name: str(table.schema.field(name).type) for name in ("shard", "num_frames", "fps", "blur")}
    assert types == {"shard": "string", "num_frames": "int64", "fps": "double", "blur": "double"}


def test_the_sync_shift_is_a_column_of_whole_frames_and_no_stat(tmp_path: Path) -> None:
    rows = [dataclasses.replace(index_row("a", blur=0.5), sync_shift_frames=-3), index_row("b")]
    write_index(tmp_path, rows)
    table = pq.read_table(tmp_path / "index.parquet")
    assert str(table.schema.field("sync_shift_frames").type) == "int64"
    assert table.column("sync_shift_frames").to_pylist() == [-3, 0]
    assert read_index(tmp_path) == rows
    with pytest.raises(ValueError, match="'sync_shift_frames' has the name of a column"):
        write_index(tmp_path, [dataclasses.replace(index_row("a"), stats={"sync_shift_frames": -3.0})])


@pytest.mark.parametrize(
    ("column", "shifts"),
    [(None, [0, 0]), ([2.0, None], [2, 0]), ([0.0, -15.0], [0, -15])],
)
def test_an_index_of_an_earlier_version_is_read(
    tmp_path: Path, column: list[float | None] | None, shifts: list[int]
) -> None:
    """Its shift is a float64 column, null for clips that were not scored, or there is none."""
    write_index(tmp_path, [index_row("a", blur=0.5), index_row("b")])
    path = tmp_path / "index.parquet"
    table = pq.read_table(path).drop_columns(["sync_shift_frames"])
    if column is not None:
        table = table.append_column("sync_shift_frames", pa.array(column, pa.float64()))
    pq.write_table(table, path)
    found = read_index(tmp_path)
    assert [row.sync_shift_frames for row in found] == shifts
    assert [dict(row.stats) for row in found] == [{"blur": 0.5}, {}]
    assert sync_shifts(found) == {row.key: shift for row, shift in zip(found, shifts, strict=True) if shift}


def test_index_refuses_two_clips_under_one_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.b and a/b share key a_b"):
        write_index(tmp_path, [index_row("a_b", clip_id="a.b"), index_row("a_b", clip_id="a/b")])
    with pytest.raises(ValueError, match="a and a share key a"):
        write_index(tmp_path, [index_row("a"), index_row("a")])
    write_index(tmp_path, [index_row("a"), index_row("a", split="test")])


def test_rejects_may_be_none(tmp_path: Path) -> None:
    write_rejects(tmp_path, [])
    empty = pq.read_table(tmp_path / "rejects.parquet")
    assert empty.num_rows == 0
    columns = ["clip_id", "speaker", "split", "path", "reason", "detail"]
    assert empty.column_names == columns
    write_rejects(
        tmp_path,
        [Reject(clip_id=c, speaker="s", split="train", path="p", reason="no_face", detail="d") for c in "ba"],
    )
    assert pq.read_table(tmp_path / "rejects.parquet").column("clip_id").to_pylist() == ["a", "b"]
