"""A small data set in shards, and the context of a stage that reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.layout import Layout
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.params import load_params
from pipeline.shards.write import ClipSample, shard_name, write_index, write_shard
from pipeline.stage import StageContext
from pipeline.tracking.tracker import Tracker

NUM_FRAMES = {"train": (30, 8, 30, 28, 30), "val": (30, 30)}
"""A clip of 8 frames has no room for two windows."""


def make_sample(clip_id: str, split: str, num_frames: int) -> ClipSample:
    """A clip of smooth, slowly changing colours with random audio."""
    rng = np.random.default_rng(list(clip_id.encode()))
    ramp = np.linspace(0, 1, 96)
    phase = rng.uniform(0, 6, (num_frames, 1, 1, 3)) + 4 * ramp[:, None, None] + 3 * ramp[:, None]
    crops = (128 + 100 * np.sin(phase)).astype(np.uint8)
    frames_mjpeg, frame_bytes = encode_mjpeg(crops)
    return ClipSample(
        clip_id=clip_id,
        speaker="s",
        split=split,
        fps=25.0,
        frames_mjpeg=frames_mjpeg,
        frame_bytes=frame_bytes,
        context_mjpeg=frames_mjpeg,
        context_bytes=frame_bytes,
        crop_in_context=np.tile(np.array([[0.0, 0.0, 96.0, 96.0]]), (num_frames, 1)),
        mel=rng.uniform(-4, 4, (num_frames * 16 // 5 + 1, 80)).astype(np.float32),
        audio=rng.integers(-1000, 1000, num_frames * 640).astype(np.int16),
        transcript="",
        source=f"{clip_id}.mp4",
        stats={},
    )


@pytest.fixture(scope="session")
def clips_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with five training clips in two shards and two validation clips in one shard."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    rows = []
    for split, num_shards in (("train", 2), ("val", 1)):
        for number in range(num_shards):
            samples = [make_sample(f"{split}{number}/{k}", split, num) for k, num in enumerate(NUM_FRAMES[split])]
            rows.extend(write_shard(folder, shard_name(split, number), samples))
    write_index(folder, rows)
    return folder


@pytest.fixture(scope="session")
def make_context(
    repo_root: Path, clips_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., StageContext]:
    """Function that returns a stage's context in its own folder. Without ``track`` the curve is not tracked."""

    def make(num_processes: int, track: Callable[..., None] | None = None) -> StageContext:
        params = load_params(repo_root / "params.yaml")
        runtime = {"num_processes": num_processes, "num_threads": 1, "log_every_steps": 1, "device": "cpu"}
        params = params.model_copy(update={"runtime": params.runtime.model_copy(update=runtime)})
        folder = tmp_path_factory.mktemp("run")
        layout, scratch = Layout(folder), folder / "scratch"
        scratch.mkdir()
        layout.clips_dir.parent.mkdir(parents=True)
        layout.clips_dir.symlink_to(clips_dir)
        tracker = Tracker(None, None)
        if track:
            tracker.log_curve = lambda rows: track(rows) is None  # type: ignore[method-assign]
        return StageContext("train_syncnet", None, params, layout, tracker, "0", scratch)

    return make
