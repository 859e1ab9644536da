"""Limits of the web app, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.app.limits import require_face, require_voice, watch_length
from pipeline.app.settings import AppLimits
from pipeline.core.errors import UserError
from pipeline.dubbing import PhaseProgress

LIMITS = AppLimits(max_file_mb=1, max_seconds=2, max_side_px=400)
NO_MEDIA = {
    "notes.mp4": b"These are notes and no video.\n" * 40,
    "page.wav": b"<!doctype html><html><body>hello</body></html>",
    "run.mp4": b"#!/bin/sh\nrm -rf /\n",
    "list.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n",
    "zeros.webm": bytes(5000),
}


@pytest.mark.parametrize("check", [require_face, require_voice])
@pytest.mark.parametrize(("name", "content"), NO_MEDIA.items())
def test_a_file_that_is_no_media_file_is_refused(tmp_path, check, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{name} cannot be used as the (face|voice): ") as refused:
        check(path, LIMITS)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("check", [require_face, require_voice])
def test_an_empty_a_large_and_a_removed_file_are_refused(tmp_path, check):
    path = tmp_path / "clip.mp4"
    with pytest.raises(UserError, match=r"clip\.mp4 is no longer there: files are removed after 60 minutes"):
        check(path, LIMITS)
    path.touch()
    with pytest.raises(UserError, match=r"clip\.mp4 is empty"):
        check(path, LIMITS)
    path.write_bytes(bytes(3_000_000))
    with pytest.raises(UserError, match=r"clip\.mp4 has 3 MB; allowed are 1 MB"):
        check(path, LIMITS)


def test_a_face_is_limited_in_length_and_size(make_face):
    require_face(make_face(), LIMITS)
    with pytest.raises(UserError, match=r"long\.mp4 lasts 3 s; allowed are 2 s"):
        require_face(make_face("long.mp4", num_frames=75), LIMITS)
    with pytest.raises(UserError, match=r"wide\.mp4 has 480x160 pixels; allowed are 400 a side"):
        require_face(make_face("wide.mp4", num_faces=3), LIMITS)


def test_a_voice_needs_sound_and_is_limited_in_length(make_face, make_voice):
    require_voice(make_voice(), LIMITS)
    require_voice(make_face(), LIMITS)
    with pytest.raises(UserError, match=r"mute\.mp4 cannot be used as the voice: has no audio stream"):
        require_voice(make_face("mute.mp4", has_sound=False), LIMITS)
    with pytest.raises(UserError, match=r"long\.wav lasts \d+ s; allowed are 2 s"):
        require_voice(make_voice(5, "long.wav"), LIMITS)
    with pytest.raises(UserError, match=r"song\.wav cannot be used as the face: has no video stream"):
        require_face(make_voice(name="song.wav"), LIMITS)


def test_frames_are_counted_in_case_the_header_states_too_short_a_video(make_face):
    seen: list[PhaseProgress] = []
    watch = watch_length(make_face(), LIMITS, seen.append)
    allowed = PhaseProgress("detecting faces", 51, None, None)
    watch(allowed)
    assert seen == [allowed]
    with pytest.raises(UserError, match="lasts more than 2 s"):
        watch(replace(allowed, num_done=52))


@pytest.mark.parametrize("name", ["max_file_mb", "max_seconds", "max_side_px", "max_waiting", "keep_minutes"])
def test_a_limit_below_one_is_refused(name):
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} is 0; it must be at least 1"):
        AppLimits(**{name: 0})
