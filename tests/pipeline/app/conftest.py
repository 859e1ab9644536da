"""Short media files of a drawn face and a tone, and a folder for the app's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.app.work_folder import WorkFolder
from pipeline.media.writer import VideoWriter
from tests.support.drawn_face import FPS, RATE_HZ, draw_face, tone


@pytest.fixture
def make_face(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video of drawn faces side by side, with a tone."""

    def make(name: str = "face.mp4", num_frames: int = 10, num_faces: int = 1, *, has_sound: bool = True) -> Path:
        path = tmp_path / name
        image = np.concatenate([draw_face(80, 76)] * num_faces, axis=1)
        sound = tone(num_frames / FPS) if has_sound else None
        with VideoWriter(path, FPS, (image.shape[1], image.shape[0]), sound, preset="ultrafast") as writer:
            for _ in range(num_frames):
                writer.write(image)
        return path

    return make


@pytest.fixture
def make_voice(tmp_path: Path) -> Callable[..., Path]:
    def make(seconds: float = 0.4, name: str = "voice.wav", loudness: float = 0.2) -> Path:
        wavfile.write(tmp_path / name, RATE_HZ, tone(seconds, loudness))
        return tmp_path / name

    return make


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkFolder]:
    folder = WorkFolder(tmp_path / "app", keep_s=100)
    with folder.opened():
        yield folder
