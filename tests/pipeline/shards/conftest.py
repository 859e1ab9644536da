"""Small shards, written for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.mjpeg import encode_mjpeg
from pipeline.shards.index import IndexRow
from pipeline.shards.write import ClipSample, shard_name, write_index, write_shard


def _sample(clip_id: str, split: str = "train", num_frames: int = 4) -> ClipSample:
    """A clip whose content depends on its id only."""
    rng = np.random.default_rng(list(clip_id.encode()))
    shade = int(rng.integers(20, 200))
    crops = np.stack([np.full((16, 16, 3), shade + 5 * k, np.uint8) for k in range(num_frames)])
    frames_mjpeg, frame_bytes = encode_mjpeg(crops)
    context_mjpeg, context_bytes = encode_mjpeg(np.pad(crops, ((0, 0), (4, 4), (4, 4), (0, 0))))
    return ClipSample(
        clip_id=clip_id,
        speaker=clip_id.split("/")[0],
        split=split,
        fps=25.0,
        frames_mjpeg=frames_mjpeg,
        frame_bytes=frame_bytes,
        context_mjpeg=context_mjpeg,
        context_bytes=context_bytes,
        crop_in_context=np.tile(np.array([[4.0, 4.0, 20.0, 20.12345]]), (num_frames, 1)),
        mel=rng.uniform(-4, 4, (num_frames * 16 // 5, 80)).astype(np.float32),
        audio=rng.integers(-1000, 1000, num_frames * 640).astype(np.int16),
        transcript=f"words of {clip_id} é",
        source=f"/somewhere/{clip_id}.mp4",
        stats={"shade": float(shade)},
    )


@pytest.fixture
def make_sample() -> Callable[..., ClipSample]:
    return _sample


@pytest.fixture
def write_shards(tmp_path: Path) -> Callable[..., list[IndexRow]]:
    """Writes ``num_shards`` of ``clips_per_shard`` clips of a split below tmp_path, and the index of all so far."""
    rows: list[IndexRow] = []

    def write(split: str = "train", num_shards: int = 3, clips_per_shard: int = 5) -> list[IndexRow]:
        for number in range(num_shards):
            ids = [f"s{number}/{split}.{clip}" for clip in range(clips_per_shard)]
            samples = [_sample(clip_id, split) for clip_id in ids]
            rows.extend(write_shard(tmp_path, shard_name(split, number), samples))
        write_index(tmp_path, rows)
        return rows

    return write
