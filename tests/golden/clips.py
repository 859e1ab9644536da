"""A small data set in shards: pictures of blocks, sound of short tones, both at random.

Every clip differs from every other in every channel. On faces that are alike BatchNorm divides by next to nothing, and
rounding alone moves a gradient by a percent. The draws are `numpy.random.RandomState`'s, which stays as it is for ever.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import int16_to_float
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.shards.write import ClipSample, shard_name, write_index, write_shard

NUM_CLIPS = {"train": 6, "val": 2}
NUM_FRAMES = 30
SIZE_PX = 96
BLOCK_PX = 12
TONE_SAMPLES = SAMPLE_RATE_HZ // 25


def write_clips(folder: Path) -> None:
    """Two training shards of three clips and a validation shard of two."""
    rows = []
    first = 0
    for split, num_clips in NUM_CLIPS.items():
        samples = [_sample(first + index, split) for index in range(num_clips)]
        first += num_clips
        for number, start in enumerate(range(0, num_clips, 3)):
            rows.extend(write_shard(folder, shard_name(split, number), samples[start : start + 3]))
    write_index(folder, rows)


def _sample(index: int, split: str) -> ClipSample:
    draw = np.random.RandomState(index)
    blocks = draw.randint(0, 256, (NUM_FRAMES, SIZE_PX // BLOCK_PX, SIZE_PX // BLOCK_PX, 3)).astype(np.uint8)
    crops = blocks.repeat(BLOCK_PX, axis=1).repeat(BLOCK_PX, axis=2)
    audio = _sound(draw)
    mjpeg, sizes = encode_mjpeg(crops)
    return ClipSample(
        clip_id=f"{split}/{index}",
        speaker=f"s{index}",
        split=split,
        fps=FPS,
        frames_mjpeg=mjpeg,
        frame_bytes=sizes,
        context_mjpeg=mjpeg,
        context_bytes=sizes,
        crop_in_context=np.tile(np.array([[0.0, 0.0, SIZE_PX, SIZE_PX]]), (NUM_FRAMES, 1)),
        mel=mel_spectrogram(int16_to_float(audio)),
        audio=audio,
        transcript="",
        source=f"{index}.mp4",
        stats={},
    )


def _sound(draw: np.random.RandomState) -> NDArray[np.int16]:
    """A tone of another pitch and loudness every 40 ms."""
    num_samples = num_samples_of(NUM_FRAMES)
    pitch_hz = np.repeat(draw.uniform(100, 4000, NUM_FRAMES), TONE_SAMPLES)[:num_samples]
    loudness = np.repeat(draw.uniform(0, 9000, NUM_FRAMES), TONE_SAMPLES)[:num_samples]
    return np.round(loudness * np.sin(2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ)).astype(np.int16)
