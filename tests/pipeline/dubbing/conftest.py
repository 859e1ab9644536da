"""Small videos and sounds for dubbing."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.media.writer import VideoWriter
from tests.support.dub_scenes import HEIGHT, WIDTH, picture


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    def make(num_frames: int, fps: float | Fraction = 25, name: str = "face.mp4") -> Path:
        path = tmp_path / name
        with VideoWriter(path, fps, (WIDTH, HEIGHT), crf=12, preset="ultrafast") as writer:
            for index in range(num_frames):
                writer.write(picture(index))
        return path

    return make


@pytest.fixture
def make_sound(tmp_path: Path) -> Callable[..., Path]:
    def make(seconds: float, rate_hz: int = 16_000, channels: int = 1, name: str = "speech.wav") -> Path:
        time = np.arange(round(seconds * rate_hz)) / rate_hz
        tone = (0.3 * np.sin(2 * np.pi * 220 * time) * np.sin(2 * np.pi * 3 * time)).astype(np.float32)
        path = tmp_path / name
        wavfile.write(path, rate_hz, np.repeat(tone[:, None], channels, axis=1))
        return path

    return make
