"""A tiny test split: moving faces of three speakers, each with its own sound and length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluation import lips
from pipeline.features.alignment import num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import int16_to_float
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.shards.clip import Clip
from pipeline.shards.read import read_clips
from pipeline.shards.write import ClipSample, write_index, write_shard
from tests.support.media_readers import crop_frames

LENGTHS = {"a/1": 14, "a/2": 20, "b/1": 16, "c/1": 12}
BOX = (20.0, 30.25, 140.0, 150.25)
NARROW_BOX = (36.0, 30.25, 124.0, 143.25)
"""Where crops of the geometry ``box`` are."""


@pytest.fixture(autouse=True)
def no_lip_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without the extra ``landmarks``, so that results do not depend on what is installed."""
    monkeypatch.setattr(lips, "has_speech_detector", lambda: False)


def _sample(clip_id: str, num_frames: int, seed: int) -> ClipSample:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:160, 0:160] / 160
    context = np.stack([_frame(x, y, seed, frame) for frame in range(num_frames)])
    boxes = np.tile(BOX, (num_frames, 1))
    crops = crop_frames(context, boxes, 96)
    audio = (3000 * rng.standard_normal(num_samples_of(num_frames))).astype(np.int16)
    frames_mjpeg, frame_bytes = encode_mjpeg(crops)
    context_mjpeg, context_bytes = encode_mjpeg(context)
    return ClipSample(
        clip_id=clip_id,
        speaker=clip_id.split("/")[0],
        split="test",
        fps=25.0,
        frames_mjpeg=frames_mjpeg,
        frame_bytes=frame_bytes,
        context_mjpeg=context_mjpeg,
        context_bytes=context_bytes,
        crop_in_context=boxes,
        other_crops_in_context={"box": np.tile(NARROW_BOX, (num_frames, 1))},
        mel=mel_spectrogram(int16_to_float(audio)),
        audio=audio,
        transcript=f"the words of {clip_id}",
    )


def _frame(x: NDArray[np.float64], y: NDArray[np.float64], seed: int, frame: int) -> NDArray[np.uint8]:
    """A gradient in the speaker's tint with a mouth that opens and closes."""
    opening = 0.02 + 0.08 * abs(np.sin(1.3 * frame + seed))
    mouth = np.exp(-(((x - 0.5) / 0.15) ** 2) - ((y - 0.7) / opening) ** 2)
    channels = [(0.4 + 0.1 * seed) * x + 0.3 * y, 0.6 * y, 0.5 * x * y]
    return np.stack([255 * np.clip(c * (1 - mouth), 0, 1) for c in channels], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def shards_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    samples = [_sample(clip_id, num, seed) for seed, (clip_id, num) in enumerate(LENGTHS.items())]
    write_index(folder, write_shard(folder, "test/test-00000.tar", samples))
    return folder


@pytest.fixture
def clips(shards_dir: Path) -> dict[str, Clip]:
    return {clip.clip_id: clip for clip in read_clips(shards_dir, "test")}
