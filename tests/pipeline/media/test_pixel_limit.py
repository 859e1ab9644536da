"""Pictures above a limit are refused before they are decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from pipeline.media.container import open_container
from pipeline.media.errors import CorruptMediaError, NotMediaError
from pipeline.media.pixel_limit import require_few_pixels
from pipeline.media.writer import VideoWriter
from tests.support.grey_videos import grey
from tests.support.heic import write_heic

WIDTH, HEIGHT = 128, 64


def write_still(path: Path) -> None:
    Image.fromarray(grey(100, (WIDTH, HEIGHT))).save(path)


def write_animation(path: Path) -> None:
    first, second = (Image.fromarray(grey(level, (WIDTH, HEIGHT))) for level in (50, 150))
    first.save(path, save_all=True, append_images=[second], duration=40)


def write_video(path: Path) -> None:
    with VideoWriter(path, 25, (WIDTH, HEIGHT), preset="ultrafast") as writer:
        writer.write(grey(100, (WIDTH, HEIGHT)))


FORMATS: dict[str, Callable[[Path], None]] = {
    "a.png": write_still,
    "a.jpg": write_still,
    "a.webp": write_animation,
    "a.gif": write_animation,
    "a.heic": lambda path: write_heic(path, [grey(60, (WIDTH // 2, HEIGHT))] * 2),
    "a.mp4": write_video,
}


@pytest.mark.parametrize(("name", "write"), FORMATS.items())
def test_larger_pictures_are_refused(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    require_few_pixels(tmp_path / name, WIDTH * HEIGHT)
    with pytest.raises(CorruptMediaError, match=r"has more than 0 million pixels, or is damaged"):
        require_few_pixels(tmp_path / name, WIDTH * HEIGHT - 1)


def test_ffmpeg_decodes_no_larger_picture_to_open_a_file(tmp_path: Path) -> None:
    write_still(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb", buffering=0) as file:
        for limit, is_decoded in ((None, True), (WIDTH * HEIGHT - 1, False)):
            with open_container(file, tmp_path / "a.png", limit) as container:
                assert (container.streams.video[0].codec_context.width == WIDTH) is is_decoded


def test_sound_alone_is_accepted_and_other_files_are_no_media(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 16_000, np.zeros(1600, np.int16))
    require_few_pixels(tmp_path / "a.wav", 1)
    (tmp_path / "a.txt").write_text("no media")
    with pytest.raises(NotMediaError):
        require_few_pixels(tmp_path / "a.txt", 1)
