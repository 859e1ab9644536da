"""A folder of pictures as a video."""

from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.media.errors import CorruptMediaError, MissingMediaError, NoAudioError, NoVideoError
from pipeline.media.picture_folder import open_pictures


def write(folder, names, size=(16, 12)):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((size[1], size[0], 3), 20 * number, np.uint8))
    return folder


def levels(frames):
    return [round(float(frame.image.mean())) for frame in frames]


def test_pictures_come_in_the_order_of_their_numbers(tmp_path):
    folder = write(tmp_path / "f", ["a2.png", "a10.png", "a1.png", "b.PNG"])
    for other in ("notes.txt", "._a1.png"):
        (folder / other).touch()
    with open_pictures(folder) as video:
        assert (video.fps, video.header.num_frames, video.header.has_audio) == (Fraction(25), 4, False)
        assert video.encoding.startswith("png ") and video.encoding.endswith(" 16x12")
        assert (video.display.width, video.display.height) == (16, 12)
        frames = list(video.frames())
        assert levels(frames) == [40, 0, 20, 60]
        assert [frame.time_s for frame in frames] == [0, 0.04, 0.08, 0.12]
        assert len(video.sha256) == 64
        with pytest.raises(NoAudioError):
            video.samples()


def test_another_frame_rate(tmp_path):
    folder = write(tmp_path / "f", [f"{k}.png" for k in range(4)])
    with open_pictures(folder, 12.5) as video:
        assert video.header.duration_s == pytest.approx(0.32)
        assert list(video.packet_ends_s()) == pytest.approx([0.08, 0.16, 0.24, 0.32])
        frames = list(video.frames())
        assert levels(frames) == [0, 20, 40, 60]
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.08, 0.16, 0.24])


def test_pictures_of_two_sizes(tmp_path):
    folder = write(tmp_path / "f", ["1.png", "2.png"])
    write(folder, ["3.png"], (20, 12))
    with open_pictures(folder) as video, pytest.raises(CorruptMediaError, match=r"3\.png: is 20x12, .* folder 16x12"):
        list(video.frames())


def test_folders_and_rates_that_cannot_be_used(tmp_path):
    with pytest.raises(NoVideoError, match="has no pictures"):
        open_pictures(write(tmp_path / "f", []))
    folder = write(tmp_path / "f", ["1.png"])
    for fps in (0, -25, 1e-9, 1e300, math.nan, math.inf):
        with pytest.raises(UserError, match=r"--fps is .*; it must be from 0\.01 to 1000"):
            open_pictures(folder, fps)
    with pytest.raises(UserError, match="--fps 25 is for a folder of pictures"):
        open_pictures(tmp_path / "f" / "1.png", 25)
    with pytest.raises(MissingMediaError):
        open_pictures(tmp_path / "none")
