"""Stage ``sync_filter``: corrections, rejects, metrics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.layout import Layout
from pipeline.corpora.manifest import ClipRecord, write_manifest
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.params import Params, load_params
from pipeline.shards.clip import Clip
from pipeline.shards.index import Reject
from pipeline.shards.key import source_of
from pipeline.shards.read import read_clips, read_index, read_rejects
from pipeline.shards.stream import ClipStream
from pipeline.shards.write import ClipSample, write_index, write_rejects, write_shard
from pipeline.stage import StageContext
from pipeline.stages import sync_filter
from pipeline.sync_filter import scorer
from pipeline.tracking.tracker import Tracker

NUM_FRAMES = 40
LEADS = {"a": 0, "b": 3, "c": -2, "d-p000": 9, "e": 0}


class ScorerByName:
    """A scorer whose similarity encodes the offset of each clip by its name. Clip e has confidence 0."""

    parts = ("frames", "mel")

    def similarity(self, clip: Clip) -> np.ndarray:
        num = clip.num_frames - 4
        if clip.clip_id.endswith("e"):
            return np.zeros((num, num), np.float32)
        return np.eye(num, k=-LEADS[clip.clip_id.split("/")[1]], dtype=np.float32)


def sample(split: str, name: str) -> ClipSample:
    """A clip whose frame k has grey level 3k and audio samples of value k."""
    pictures, sizes = encode_mjpeg([np.full((16, 16, 3), 3 * k, np.uint8) for k in range(NUM_FRAMES)])
    return ClipSample(
        clip_id=f"{split}/{name}",
        speaker="s",
        split=split,
        fps=25.0,
        frames_mjpeg=pictures,
        frame_bytes=sizes,
        context_mjpeg=pictures,
        context_bytes=sizes,
        crop_in_context=np.repeat(np.arange(NUM_FRAMES, dtype=np.float64)[:, None], 4, axis=1),
        mel=np.zeros((NUM_FRAMES * 16 // 5 + 1, 80), np.float32),
        audio=np.repeat(np.arange(NUM_FRAMES), 640).astype(np.int16),
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    rows = []
    for split in ("train", "val", "test"):
        samples = [sample(split, name) for name in LEADS]
        rows += write_shard(layout.shards_dir, f"{split}/{split}-00000.tar", samples)
    write_index(layout.shards_dir, rows)
    gone = Reject(clip_id="train/z", speaker="s", split="train", path="z.mp4", reason="no_face", detail="")
    write_rejects(layout.shards_dir, [gone])
    sources = sorted({source_of(row.clip_id) for row in rows})
    write_manifest(
        layout.manifest_path, [ClipRecord(name, "s", name.split("/")[0], f"{name}.mp4", 1, "", "") for name in sources]
    )
    return layout


@pytest.fixture
def params(repo_root: Path) -> Params:
    return load_params(repo_root / "params.yaml")


def run(layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch, **changed: object) -> dict[str, object]:
    monkeypatch.setattr(scorer, "load_scorer", lambda *_: ScorerByName())
    chosen = params.sync_filter.model_copy(update={"scorer": Path("x"), "scorer_sha256": "0" * 64} | changed)
    used = params.model_copy(update={"sync_filter": chosen})
    context = StageContext("sync_filter", None, used, layout, Tracker(None, None), "0" * 16, layout.scratch_dir)
    return dict(sync_filter._body(context))


def test_without_a_scorer_all_clips_are_used_unchanged(layout: Layout, params: Params, monkeypatch) -> None:
    metrics = run(layout, params, monkeypatch, scorer=None, scorer_sha256=None)
    assert metrics["num_clips"] == 15
    assert metrics["num_scored"] == metrics["num_rejected"] == metrics["num_corrected"] == 0
    stored = {clip.clip_id: clip for clip in read_clips(layout.shards_dir, "train")}
    for clip in read_clips(layout.clips_dir, "train"):
        assert (clip.audio == stored[clip.clip_id].audio).all()
        assert (clip.mel == stored[clip.clip_id].mel).all()
        assert clip.num_frames == NUM_FRAMES
    assert [reject.clip_id for reject in read_rejects(layout.clips_dir)] == ["train/z"]


def test_offsets_are_corrected_and_other_clips_rejected(layout: Layout, params: Params, monkeypatch) -> None:
    metrics = run(layout, params, monkeypatch)
    assert metrics["num_clips"] == 9
    assert metrics["num_scored"] == 15
    assert metrics["num_corrected"] == 6
    assert metrics["num_out_of_sync"] == metrics["num_low_sync_confidence"] == 3
    clips = {clip.clip_id: clip for clip in read_clips(layout.clips_dir, "train")}
    assert sorted(clips) == ["train/a", "train/b", "train/c"]
    for name, lead in (("a", 0), ("b", 3), ("c", -2)):
        clip = clips[f"train/{name}"]
        assert clip.num_frames == NUM_FRAMES - abs(lead)
        picture_frames = np.rint(clip.crops().mean(axis=(1, 2, 3)) / 3).astype(int)
        sound_frames = clip.audio[::640].astype(int)
        assert (picture_frames - sound_frames == lead).all()  # audio that led by `lead` frames is delayed
        assert len(clip.audio) == clip.num_samples == 640 * clip.num_frames
        assert (clip.crop_in_context[:, 0] == picture_frames).all()
        assert (clip.context([0]) == clip.crops([0])).all()
    with pytest.raises(IndexError):
        clips["train/b"].crops([NUM_FRAMES - 3])


def test_small_offsets_are_recorded_but_not_corrected(layout: Layout, params: Params, monkeypatch) -> None:
    metrics = run(layout, params, monkeypatch, min_offset_frames=3)
    assert metrics["num_corrected"] == 3
    rows = {row.clip_id: row for row in read_index(layout.clips_dir, "train")}
    assert (rows["train/c"].num_frames, rows["train/c"].stats["sync_offset_frames"]) == (NUM_FRAMES, -2)
    assert [rows[f"train/{name}"].sync_shift_frames for name in "abc"] == [0, 3, 0]
    clips = {clip.clip_id: clip for clip in read_clips(layout.clips_dir, "train")}
    assert (clips["train/c"].num_frames, clips["train/b"].num_frames) == (NUM_FRAMES, NUM_FRAMES - 3)


def test_every_clip_is_either_kept_or_rejected(layout: Layout, params: Params, monkeypatch) -> None:
    run(layout, params, monkeypatch)
    kept = [row.clip_id for row in read_index(layout.clips_dir)]
    refused = {reject.clip_id: reject.reason for reject in read_rejects(layout.clips_dir)}
    listed = [f"{split}/{name}" for split in ("train", "val", "test") for name in LEADS]
    assert sorted([*kept, *refused]) == sorted([*listed, "train/z"])
    assert Counter(refused.values()) == {"out_of_sync": 3, "low_sync_confidence": 3, "no_face": 1}


def test_a_reject_names_the_source_file_also_of_a_segment(layout: Layout, params: Params, monkeypatch) -> None:
    run(layout, params, monkeypatch)
    paths = {reject.clip_id: reject.path for reject in read_rejects(layout.clips_dir) if reject.split == "train"}
    assert paths == {"train/d-p000": "train/d.mp4", "train/e": "train/e.mp4", "train/z": "z.mp4"}


def test_a_corrected_clip_has_the_mel_spectrogram_of_its_corrected_sound(
    layout: Layout, params: Params, monkeypatch
) -> None:
    from pipeline.features.mel import mel_spectrogram
    from pipeline.features.samples import int16_to_float

    run(layout, params, monkeypatch)
    stream = ClipStream(layout.clips_dir, "train", seed=0, parts=("frames", "mel"))
    clips = {clip.clip_id: clip for clip in (next(stream) for _ in range(3))}
    sound = np.repeat(np.arange(NUM_FRAMES - 3), 640).astype(np.int16)
    assert (clips["train/b"].mel == mel_spectrogram(int16_to_float(sound))).all()
    assert (clips["train/a"].mel == 0).all()  # not corrected


def test_other_splits_are_unchanged(layout: Layout, params: Params, monkeypatch) -> None:
    metrics = run(layout, params, monkeypatch, splits=("train",))
    assert metrics["num_scored"] == 5
    assert metrics["num_test_clips"] == 5
    assert {clip.num_frames for clip in read_clips(layout.clips_dir, "test")} == {NUM_FRAMES}


def test_too_few_clips_left_is_an_error_with_reasons(layout: Layout, params: Params, monkeypatch) -> None:
    with pytest.raises(
        DataError,
        match=r"the sync filter keeps 0 of 5 clips of the split test, .*5 low_sync",
    ):
        run(layout, params, monkeypatch, min_confidence=2.0)
