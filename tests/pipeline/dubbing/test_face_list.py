"""The list of faces of a video whose sound is of no use."""

from __future__ import annotations

import logging

import pytest

from pipeline.dubbing.face_list import find_listed_faces
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
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
    def fail(self):
        raise CorruptMediaError(self.path, "its audio cannot be decoded")

    monkeypatch.setattr(MediaFile, "samples", fail)
    assert [(face.number, face.is_talking) for face in listed(video)] == [(1, None), (2, None)]
    assert "which face talks is not determined: " in caplog.text and "cannot be decoded" in caplog.text


def test_a_list_says_nothing_about_a_dub(video, caplog):
    with caplog.at_level(logging.WARNING):
        assert [face.is_talking for face in listed(video)] == [False, False]
    assert "left unchanged" not in caplog.text
