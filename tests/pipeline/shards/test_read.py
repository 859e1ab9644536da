"""Reading shards back: whole splits, and the stream with its exact resume."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.core.errors import DataError, UserError
from pipeline.shards import read
from pipeline.shards.index import IndexRow
from pipeline.shards.read import ShardError, read_clips, read_index, shared_geometry
from pipeline.shards.stream import ClipStream
from pipeline.shards.write import ClipSample, write_index

MakeSample = Callable[..., ClipSample]
WriteShards = Callable[..., list[IndexRow]]


def rewrite(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Rewrite a tar's members; None drops one."""
    with tarfile.open(path) as tar:
        members = [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            if (changed := change(name, content)) is not None:
                info = tarfile.TarInfo(name)
                info.size = len(changed)
                tar.addfile(info, io.BytesIO(changed))


def drawn(stream: ClipStream, num: int) -> list[tuple[str, float]]:
    """The next clips, with a number from each one's generator."""
    return [(clip.key, float(clip.rng.random())) for clip in islice(stream, num)]


# whole splits


def test_clips_come_back_as_they_were_written(
    tmp_path: Path, write_shards: WriteShards, make_sample: MakeSample
) -> None:
    rows = write_shards(num_shards=2, clips_per_shard=3)
    clips = list(read_clips(tmp_path, "train"))
    assert [clip.key for clip in clips] == [row.key for row in rows]
    for clip, row in zip(clips, rows, strict=True):
        sample = make_sample(row.clip_id)
        assert (clip.clip_id, clip.speaker, clip.split) == (sample.clip_id, sample.speaker, "train")
        assert (clip.transcript, clip.source, clip.stats) == (sample.transcript, sample.source, sample.stats)
        assert (clip.fps, clip.num_frames, clip.num_samples, clip.shard) == (25.0, 4, 2560, row.shard)
        np.testing.assert_array_equal(clip.mel, sample.mel)
        np.testing.assert_array_equal(clip.audio, sample.audio)
        np.testing.assert_allclose(clip.crop_in_context, sample.crop_in_context, atol=1e-3)
        assert clip.crops().shape == (4, 16, 16, 3)
        assert clip.context([3, 0]).shape == (2, 24, 24, 3)
        shade = sample.stats["shade"]
        assert clip.crops(np.array([2]))[0].mean() == pytest.approx(shade + 10, abs=2)


def test_the_index_tells_the_geometry_of_the_crops(tmp_path: Path, write_shards: WriteShards) -> None:
    """An index of an earlier version does not; its crops are square."""
    rows = write_shards()
    assert shared_geometry(read_index(tmp_path)) == "square"
    write_index(tmp_path, [replace(row, crop="box") for row in rows])
    assert shared_geometry(read_index(tmp_path)) == "box" and "crop" not in read_index(tmp_path)[0].stats
    index = tmp_path / "index.parquet"
    pq.write_table(pq.read_table(index).drop_columns(["crop"]), index)
    assert shared_geometry(read_index(tmp_path)) == "square"
    write_index(tmp_path, [replace(rows[0], crop="box"), *rows[1:]])
    with pytest.raises(
        DataError, match=r"geometries box and square; run `dvc repro --force .*, then `dvc repro sync_f"
    ):
        shared_geometry(read_index(tmp_path))


def test_unneeded_parts_are_not_read(tmp_path: Path, write_shards: WriteShards) -> None:
    write_shards()
    clip = next(read_clips(tmp_path, "train", parts=("mel",)))
    assert clip.mel.shape[1] == 80
    for ask in (clip.crops, clip.context, lambda: clip.audio):
        with pytest.raises(ValueError, match="was not read; add it to parts"):
            ask()
    with pytest.raises(ValueError, match=r"unknown parts \['sound'\]"):
        next(read_clips(tmp_path, "train", parts=("sound",)))


def test_chosen_clips_only(tmp_path: Path, write_shards: WriteShards) -> None:
    rows = write_shards()
    keys = {rows[12].key, rows[1].key}
    assert [clip.key for clip in read_clips(tmp_path, "train", keys=keys)] == [rows[1].key, rows[12].key]


def test_missing_things_say_what_to_run(tmp_path: Path, write_shards: WriteShards, make_sample: MakeSample) -> None:
    with pytest.raises(UserError, match=r"index\.parquet does not exist; run `dvc repro sync_filter`"):
        read_index(tmp_path)
    write_shards()
    write_shards("test", num_shards=1)
    assert len(read_index(tmp_path)) == 20
    assert read_index(tmp_path, "test")[0].stats == make_sample("s0/test.0").stats
    with pytest.raises(
        DataError, match=r"index\.parquet has no clips in split 'val' \(clips by split: test: 5, train: 15\)"
    ):
        ClipStream(tmp_path, "val", seed=0)
    (tmp_path / "train" / "train-00001.tar").unlink()
    with pytest.raises(UserError, match=r"train-00001\.tar is in the index .* `dvc repro sync_filter`"):
        list(read_clips(tmp_path, "train"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, content: None if name == "s0_train_2.mel.npy" else content, r"s0_train_2: lacks mel\.npy"),
        (lambda name, content: None if name.startswith("s0_train_2") else content, "s0_train_2: is in the index but"),
        (lambda name, content: content[:-9] if name == "s0_train_2.frames.mjpeg" else content, "s0_train_2: frames"),
        (lambda name, content: content[:-9] if name == "s0_train_2.mel.npy" else content, "s0_train_2: .*reshape|EOF"),
        (
            lambda name, content: b"{" if name == "s0_train_2.json" else content,
            "s0_train_2: its description is not valid JSON: Exp",
        ),
        (lambda name, content: b"[]" if name == "s0_train_2.json" else content, "s0_train_2: its description is list"),
    ],
)
def test_an_evaluation_does_not_lose_clips_silently(
    tmp_path: Path, write_shards: WriteShards, change: Callable[[str, bytes], bytes | None], message: str
) -> None:
    write_shards()
    rewrite(tmp_path / "train" / "train-00000.tar", change)
    with pytest.raises(ShardError, match=message):
        list(read_clips(tmp_path, "train"))


# the stream


def test_every_epoch_visits_each_clip_once_in_a_new_order(tmp_path: Path, write_shards: WriteShards) -> None:
    rows = write_shards()
    stream = ClipStream(tmp_path, "train", seed=3)
    assert stream.num_clips == 15
    first, second = ([clip.key for clip in islice(stream, 15)] for _ in range(2))
    assert sorted(first) == sorted(second) == sorted(row.key for row in rows)
    assert first != second


def test_equal_seeds_give_equal_streams(tmp_path: Path, write_shards: WriteShards) -> None:
    write_shards()
    one, two, other = (drawn(ClipStream(tmp_path, "train", seed), 40) for seed in (5, 5, 6))
    assert one == two
    assert one != other
    numbers = [number for _, number in one]
    assert len(set(numbers)) == 40  # a clip draws anew in every epoch


@pytest.mark.parametrize("buffer_clips", [0, 3, 64])
@pytest.mark.parametrize("taken", [0, 1, 7, 14, 15, 16, 29, 30, 33])
def test_a_restored_stream_continues_as_if_uninterrupted(
    tmp_path: Path, write_shards: WriteShards, taken: int, buffer_clips: int
) -> None:
    write_shards()
    uninterrupted = ClipStream(tmp_path, "train", seed=1, buffer_clips=buffer_clips)
    drawn(uninterrupted, taken)
    state = uninterrupted.state_dict()
    assert set(state) == {"epoch", "clips_seen"}
    expected = drawn(uninterrupted, 20)
    restored = ClipStream(tmp_path, "train", seed=1, buffer_clips=buffer_clips)
    drawn(restored, 4)  # wherever it was before
    restored.load_state_dict(state)
    assert restored.state_dict() == state
    assert drawn(restored, 20) == expected


def test_a_resume_reads_no_shard_that_is_done(
    tmp_path: Path, write_shards: WriteShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards()
    opened: list[str] = []
    original = read.read_shard

    def counting(shards_dir: Path, shard: str, *rest: set[str]):  # type: ignore[no-untyped-def]
        opened.append(shard)
        return original(shards_dir, shard, *rest)

    monkeypatch.setattr("pipeline.shards.stream.read_shard", counting)
    stream = ClipStream(tmp_path, "train", seed=0, buffer_clips=0)
    stream.load_state_dict({"epoch": 4, "clips_seen": 11})
    drawn(stream, 4)
    assert len(opened) == 1


def test_positions_that_cannot_be_are_refused(tmp_path: Path, write_shards: WriteShards) -> None:
    write_shards()
    stream = ClipStream(tmp_path, "train", seed=0)
    with pytest.raises(UserError, match="beyond the 15 clips"):
        stream.load_state_dict({"epoch": 0, "clips_seen": 16})
    with pytest.raises(ValueError, match="not a position"):
        stream.load_state_dict({"epoch": 0})


def test_damaged_clips_are_skipped_counted_and_limited(
    tmp_path: Path, write_shards: WriteShards, caplog: pytest.LogCaptureFixture
) -> None:
    write_shards()
    bad = {"s1_train_0", "s1_train_3"}
    rewrite(
        tmp_path / "train" / "train-00001.tar",
        lambda name, content: content[:-4] if name.endswith("frames.mjpeg") and name[:10] in bad else content,
    )
    stream = ClipStream(tmp_path, "train", seed=0, max_bad_clips=2)
    seen = [clip.key for clip in islice(stream, 26)]
    assert stream.state_dict()["epoch"] == 1
    assert not bad & set(seen)
    assert len(set(seen)) == 13
    assert set(stream.bad_clips) == bad
    assert len(caplog.records) == 2  # once per clip, not once per epoch
    strict = ClipStream(tmp_path, "train", seed=0, max_bad_clips=1)
    with pytest.raises(ShardError, match="more than 1 bad clips: s1_train"):
        list(islice(strict, 30))


def test_a_restored_stream_skips_the_same_damaged_clips(tmp_path: Path, write_shards: WriteShards) -> None:
    write_shards()
    rewrite(
        tmp_path / "train" / "train-00001.tar",
        lambda name, content: None if name == "s1_train_2.json" else content,
    )
    stream = ClipStream(tmp_path, "train", seed=2, buffer_clips=4)
    for _ in range(14):
        state = stream.state_dict()
        restored = ClipStream(tmp_path, "train", seed=2, buffer_clips=4)
        restored.load_state_dict(state)
        assert drawn(restored, 1) == drawn(stream, 1)


def test_a_shard_that_is_cut_off_loses_its_tail_only(tmp_path: Path, write_shards: WriteShards) -> None:
    write_shards()
    path = tmp_path / "train" / "train-00000.tar"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    stream = ClipStream(tmp_path, "train", seed=0)
    keys = {clip.key for clip in islice(stream, 40)}
    assert {"s0_train_0", "s0_train_1"} <= keys
    assert {"s0_train_3", "s0_train_4"} <= set(stream.bad_clips)
    assert keys | set(stream.bad_clips) == {row.key for row in read_index(tmp_path, "train")}


def test_a_split_without_a_good_clip_does_not_loop(tmp_path: Path, write_shards: WriteShards) -> None:
    write_shards(num_shards=1)
    rewrite(tmp_path / "train" / "train-00000.tar", lambda name, content: None if name.endswith("json") else content)
    with pytest.raises(ShardError, match="no readable clip in an epoch"):
        next(ClipStream(tmp_path, "train", seed=0))
