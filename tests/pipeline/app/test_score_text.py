"""Sentences about results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.app.score_text import KEEP_MISSING, FaceSync, _without_folder, error_text, progress_text, sync_text
from pipeline.core.errors import DataError
from pipeline.dubbing import PhaseProgress
from pipeline.dubbing.drawn import DrawnFrames
from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.who import HOW_TO_LIST


def _score(offset, lse_c=4.0):
    return FaceSync(lse_c, offset)


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (_score(0), "LSE-C 4.00, offset 0 frames. A higher"),
        (_score(1), "offset 1 frame (0.04 s; the sound is before the mouth)"),
        (_score(-5), "offset 5 frames (0.20 s; the sound is after the mouth)"),
        (_score(-15), "offset not found"),
    ],
)
def test_the_score_of_a_result(score, text):
    assert text in sync_text(score, None)
    assert "cannot be scored for comparison" in sync_text(score, None)


def test_the_score_is_compared_with_the_input_and_doubted_if_the_input_is_out_of_sync():
    assert "own sound: LSE-C 6.50, offset 0 frames." in sync_text(_score(0), _score(0, 6.5))
    assert "mean little" not in sync_text(_score(0), _score(1))
    assert "mean little" in sync_text(_score(0), _score(-2))
    assert "mean little" in sync_text(_score(0), _score(15))
    assert "mean little" in sync_text(_score(0), _score(0, lse_c=1.3))


def test_no_score_has_a_reason():
    assert sync_text(None, None, "it is silent") == "**Sync score:** none, because it is silent."


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (PhaseProgress("generating frames", 40, 100, 20.4), "generating frames: 40 of 100, 40%, about 0:20 left"),
        (PhaseProgress("generating frames", 100, 100, 0.0), "generating frames: 100 of 100, 100%"),
        (PhaseProgress("detecting faces", 40, None, None), "detecting faces: 40"),
        (PhaseProgress("scoring the sync", 0, None, None), "scoring the sync"),
    ],
)
def test_the_progress_of_a_phase(progress, text):
    assert progress_text(progress) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/tmp/app/5fa3/my clip.mp4: is damaged", "my clip.mp4: is damaged"),
        ("--face /tmp/app/5fa3/clip.mp4: is damaged", "clip.mp4: is damaged"),
        (f"who is 9, but the video has only face 1; {HOW_TO_LIST}", "has only face 1; the picture shows them"),
        ("talking, but /tmp/app/a/b.mp4 has no sound; choose by number (--list-faces)", "sound; choose by number"),
    ],
)
def test_an_error_on_the_page_names_no_folder_and_no_option_of_the_command_line(text, shown):
    assert error_text(text, "/tmp/app").endswith(shown)
    assert "--" not in error_text(text, "/tmp/app") and "/tmp" not in error_text(text, "/tmp/app")


def test_too_few_faces_name_the_option_of_the_page():
    boxes = np.full((4, 4), np.nan)
    boxes[0] = 1, 2, 3, 4
    followed = Followed(boxes, np.zeros(4), ())
    drawn = DrawnFrames(followed, np.arange(4), np.ones(4, np.float32), np.arange(5) / 25)
    with pytest.raises(DataError) as refused:
        drawn.require(Path("/tmp/app/5fa3/clip.mp4"), "auto", None)
    shown = error_text(str(refused.value), "/tmp/app")
    assert shown.startswith("clip.mp4: no face to dub in 3 of 4 frames") and KEEP_MISSING in shown and "--" not in shown


def test_a_note_names_the_file_without_its_folder():
    assert _without_folder("/tmp/app/3f2a/voice.wav: its sound is silent") == "voice.wav: its sound is silent"
    assert _without_folder("the generator: a limit") == "the generator: a limit"
