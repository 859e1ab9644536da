from __future__ import annotations

import logging

import pytest

from pipeline.preprocess.plan import ShardResult
from pipeline.preprocess.progress import BuildProgress
from pipeline.shards.index import IndexRow, Reject


def shard(num_clips: int, num_rejects: int = 0) -> ShardResult:
    row = IndexRow(
        clip_id="a", key="a", speaker="s", split="train", shard="x", fps=25, num_frames=75, num_samples=1, num_bytes=1
    )
    reject = Reject(clip_id="b", speaker="s", split="train", path="b", reason="no_face", detail="")
    return ShardResult("x", (row,) * (num_clips - num_rejects), (reject,) * num_rejects)


def test_rates_and_time_left_count_what_was_computed(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    caplog.set_level(logging.INFO)
    with BuildProgress(100, clock=lambda: now[0]) as progress:
        progress.add(shard(45), 40, was_reused=True)  # five were cut in two
        now[0] = 10.0
        progress.add(shard(20, num_rejects=4), 20, was_reused=False)
    assert caplog.messages == ["60 of 100 clips, 4 rejected, 2.0 clips/s, 120 frames/s, about 0:20 left"]


def test_the_last_shard_is_always_told(caplog: pytest.LogCaptureFixture) -> None:
    now = [1.0]
    caplog.set_level(logging.INFO)
    with BuildProgress(20, clock=lambda: now[0]) as progress:
        now[0] = 2.0
        progress.add(shard(10), 10, was_reused=False)
        progress.add(shard(10), 10, was_reused=False)
    assert caplog.messages == ["20 of 20 clips, 0 rejected, 20.0 clips/s, 1500 frames/s"]
