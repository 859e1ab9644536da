"""Clips of a drawn face, written as the videos that users have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.manifest import ClipRecord, record_of
from pipeline.media.writer import VideoWriter
from pipeline.params import PreprocessParams
from tests.support.drawn_face import FPS, draw_face, tone


@pytest.fixture(scope="session")
def params() -> PreprocessParams:
    return PreprocessParams(
        clips_per_shard=2,
        detector_score=0.6,
        detector_max_px=160,
        detect_every=2,
        max_gap_frames=6,
        smooth_frames=9,
        cut_change=4.0,
        choose_face="speaking",
        rolled_faces="reject",
        min_face_px=40,
        min_sharpness=0.0,
        min_frames=25,
        max_clip_s=10.0,
        max_length_mismatch_s=0.5,
        min_audio_rms=0.0005,
        crop="square",
        context_px=160,
        jpeg_quality=95,
    )


MakeClip = Callable[..., ClipRecord]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Writes a video of the given frames (by default a head that sways) and lists it."""

    def make(
        name: str = "s1/a",
        frames: list[np.ndarray] | None = None,
        sound: np.ndarray | None = None,
        num_frames: int = 30,
        split: str = "train",
    ) -> ClipRecord:
        if frames is None:
            frames = [draw_face(80 + 6 * np.sin(k / 8), 80) for k in range(num_frames)]
        path = tmp_path / "clips" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        heard = tone(len(frames) / FPS) if sound is None else sound
        height, width = frames[0].shape[:2]
        with VideoWriter(path, FPS, (width, height), heard if len(heard) else None, match="video") as writer:
            for frame in frames:
                writer.write(frame)
        return record_of(name, name.split("/")[0], split, path, "some words")

    return make


@pytest.fixture
def clips(make_clip: MakeClip) -> list[ClipRecord]:
    """Three shards of two clips at most, the last one with a file that is not there."""
    good = [make_clip(f"s1/{name}", num_frames=26) for name in "abc"]
    held_out = make_clip("s2/a", num_frames=26, split="val")
    gone = ClipRecord("s2/gone", "s2", "val", "clips/gone.mp4", 0, "", "")
    return [*good, held_out, gone]
