"""Inputs that are no media, a folder, or lack pictures or sound: the message names the option and what is allowed."""

from __future__ import annotations

import pytest

from pipeline.core.csv_table import read_table
from pipeline.core.errors import UserError
from pipeline.dubbing.face_list import find_listed_faces
from pipeline.dubbing.face_path import FollowSettings
from pipeline.dubbing.many.worker import with_columns
from pipeline.dubbing.segments import DubSegment
from pipeline.media.errors import MediaError
from tests.support.dub_runs import run

PICTURES = "allowed: a video, a picture or a folder of pictures"
SOUND = "allowed: a sound file, or a video with sound"


@pytest.fixture
def inputs(tmp_path, make_video, make_sound):
    """Good and bad inputs by name."""
    (tmp_path / "notes.txt").write_text("no media")
    (tmp_path / "folder").mkdir()
    names = ("notes.txt", "folder", "absent.mp4")
    return {"face": make_video(3), "speech": make_sound(0.2)} | {name: tmp_path / name for name in names}


@pytest.mark.parametrize(
    ("option", "given", "fault", "allowed"),
    [
        ("--face", "notes.txt", "cannot be opened", PICTURES),
        ("--face", "speech", "has no video stream", PICTURES),
        ("--face", "folder", "has no pictures", PICTURES),
        ("--face", "absent.mp4", "no such file", ""),
        ("--audio", "notes.txt", "cannot be opened", SOUND),
        ("--audio", "face", "has no audio stream", SOUND),
        ("--audio", "folder", "is a folder, not a file", SOUND),
        ("--audio", "absent.mp4", "no such file", ""),
        ("--drive", "folder", "is a folder, not a file", SOUND),
        ("--drive", "face", "has no audio stream", SOUND),
        ("--segments", "notes.txt", "cannot be opened", SOUND),
    ],
)
def test_an_unusable_input_is_named_with_its_option(inputs, tmp_path, option, given, fault, allowed):
    face, audio = inputs["face"], inputs["speech"]
    settings = {}
    if option == "--face":
        face = inputs[given]
    elif option == "--audio":
        audio = inputs[given]
    elif option == "--drive":
        settings["drive"] = inputs[given]
    else:
        audio, settings["segments"] = None, [DubSegment(audio=inputs[given])]
    with pytest.raises(MediaError) as refused:
        run(face, audio, tmp_path / "out.mp4", **settings)
    message = str(refused.value)
    assert message.startswith(f"{option} {inputs[given]}: {fault}")
    assert allowed in message and ("allowed" in message) is bool(allowed)
    assert not (tmp_path / "out.mp4").exists()


def test_the_list_of_faces_names_its_input(inputs):
    with pytest.raises(MediaError, match=rf"^--face .*speech\.wav: has no video stream; {PICTURES}"):
        find_listed_faces(inputs["speech"], lambda side: [], FollowSettings(3, 7, 4.0), None)


def test_a_table_that_is_a_folder_is_called_one(tmp_path):
    with pytest.raises(UserError, match=r"--segments .*: is a folder; give a CSV file with the columns start"):
        read_table(tmp_path, f"--segments {tmp_path}", ["start"], ["start"])


def test_a_list_of_jobs_has_columns_instead_of_options():
    text = "--face a.mp4: no face; use --on-missing keep, --workers 2 or --list-faces"
    assert with_columns(text) == "face a.mp4: no face; use on_missing keep, --workers 2 or --list-faces"
