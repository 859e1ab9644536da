"""Clips of a few grey frames, and their rows in the manifest and in the rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.corpora.manifest import ClipRecord
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.shards.index import Reject
from pipeline.shards.write import ClipSample

MakeData = Callable[..., None]
STATS = {
    "face_px": 120.0,
    "face_score": 0.9,
    "face_missing": 0.0,
    "face_motion": 0.02,
    "brightness": 120.0,
    "audio_rms": 0.1,
    "audio_clipped": 0.0,
    "source_fps": 25.0,
}


def sample(clip_id: str, split: str, stats: Mapping[str, float], num_frames: int = 5) -> ClipSample:
    """A clip of grey frames, each lighter than the previous one."""
    frames = np.stack([np.full((16, 16, 3), 40 + 20 * k, np.uint8) for k in range(num_frames)])
    mjpeg, sizes = encode_mjpeg(frames)
    return ClipSample(
        clip_id=clip_id,
        speaker=clip_id.split("/")[0],
        split=split,
        fps=25.0,
        frames_mjpeg=mjpeg,
        frame_bytes=sizes,
        context_mjpeg=mjpeg,
        context_bytes=sizes,
        crop_in_context=np.zeros((num_frames, 4)),
        mel=np.zeros((16, 80), np.float32),
        audio=np.zeros(640 * num_frames, np.int16),
        stats=stats,
    )


def record(clip_id: str, split: str) -> ClipRecord:
    return ClipRecord(clip_id, clip_id.split("/")[0], split, f"/clips/{clip_id}.mp4", 1000, "0" * 64, "")


def reject(clip_id: str, split: str, reason: str) -> Reject:
    speaker = clip_id.split("/")[0]
    return Reject(clip_id=clip_id, speaker=speaker, split=split, path="", reason=reason, detail="")
