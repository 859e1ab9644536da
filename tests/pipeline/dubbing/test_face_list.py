"""The list of faces: unusable sound, varying rates, and sheets that would replace an input."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.dubbing.face_list import find_listed_faces
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
from pipeline.media.frame_times import FrameTimes
from pipeline.media.image import write_png
from pipeline.media.writer import VideoWriter
from tests.support.dub_runs import FOLLOW
from tests.support.dub_scenes import HEIGHT, WIDTH, ScriptedDetector, picture
from tests.support.sound import tone

FACES = [[6.0, 10, 56, 70], [70.0, 10, 124, 74]]


@pytest.fixture
def video(tmp_path):
    """Twelve frames without motion, with a tone."""
    path = tmp_path / "face.mp4"
    with VideoWriter(path, 25, (WIDTH, HEIGHT), tone(200, 0.48), preset="ultrafast") as writer:
        for _ in range(12):
            writer.write(picture(0))
    return path


def listed(path):
    return find_listed_faces(path, lambda side: [ScriptedDetector(every=FACES)], FOLLOW, None)


def test_the_faces_of_a_video_with_damaged_sound_are_listed(video, monkeypatch, caplog):
    def fail(self, **options):
        raise CorruptMediaError(self.path, "its audio cannot be decoded")

    monkeypatch.setattr(MediaFile, "samples", fail)
    assert [(face.number, face.is_talking) for face in listed(video)] == [(1, None), (2, None)]
    assert "which face talks is not determined: " in caplog.text and "cannot be decoded" in caplog.text


def test_a_list_says_nothing_about_a_dub(video, caplog):
    with caplog.at_level(logging.WARNING):
        assert [face.is_talking for face in listed(video)] == [False, False]
    assert "left unchanged" not in caplog.text


def test_times_are_those_of_the_frames_in_a_video_of_varying_rate(tmp_path):
    """The second face appears in frame 6, which is shown at 1.2 s: the first six frames last 0.2 s each."""
    path = tmp_path / "vfr.mp4"
    starts_s = np.concatenate([np.arange(6) * 0.2, 1.2 + np.arange(12) * 0.04])
    times = FrameTimes(starts_s, 1.68)
    with VideoWriter(path, 25, (WIDTH, HEIGHT), preset="ultrafast", times=times) as writer:
        for _ in starts_s:
            writer.write(picture(0))
    seen = {frame: FACES[:1] if frame < 6 else FACES for frame in range(len(starts_s))}
    first, second = find_listed_faces(path, lambda side: [ScriptedDetector(seen)], FOLLOW, None)
    assert (first.start_s, first.end_s) == pytest.approx((0.0, 1.68), abs=0.002)
    assert (second.start_s, second.end_s) == pytest.approx((1.2, 1.68), abs=0.002)


@pytest.mark.parametrize(
    ("face", "sheet", "fault"),
    [
        ("photo.png", "photo.png", "is the same file as --face"),
        ("photo.png", "link.png", "is the same file as --face"),
        ("pictures", "pictures/1.png", "lies among the pictures of --face"),
        ("pictures", "pictures/faces.png", "lies among the pictures of --face"),
    ],
)
def test_a_sheet_replaces_no_input(tmp_path, face, sheet, fault):
    (tmp_path / "pictures").mkdir()
    for name in ("photo.png", "pictures/1.png"):
        write_png(tmp_path / name, picture(0))
    (tmp_path / "link.png").symlink_to("photo.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    with pytest.raises(UserError, match=f"^--list-faces .*{fault}"):
        find_listed_faces(tmp_path / face, lambda side: [ScriptedDetector(every=FACES)], FOLLOW, tmp_path / sheet)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before
