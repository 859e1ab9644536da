"""Limits of the web app, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.app.limits import require_face, require_voice, watch_frames
from pipeline.app.settings import AppLimits
from pipeline.core.errors import UserError
from pipeline.dubbing import PhaseProgress
from pipeline.media.file import MediaFile

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


@pytest.mark.parametrize("check", [require_face, require_voice])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch, check):
    monkeypatch.setattr(MediaFile, "__init__", lambda *_: pytest.fail("FFmpeg may decode it"))
    Image.new("1", (8000, 8000)).save(tmp_path / "huge.png")
    with pytest.raises(UserError, match=r"^huge\.png cannot be used .*more than 40 million pixels"):
        check(tmp_path / "huge.png", LIMITS)


def test_a_voice_needs_sound_and_is_limited_in_length(make_face, make_voice):
    require_voice(make_voice(), LIMITS)
    require_voice(make_face(), LIMITS)
    with pytest.raises(UserError, match=r"mute\.mp4 cannot be used as the voice: has no audio stream"):
        require_voice(make_face("mute.mp4", has_sound=False), LIMITS)
    with pytest.raises(UserError, match=r"long\.wav lasts more than 2 s; longer files are not allowed"):
        require_voice(make_voice(5, "long.wav"), LIMITS)
    with pytest.raises(UserError, match=r"mute\.wav cannot be used as the voice: its sound is silent"):
        require_voice(make_voice(name="mute.wav", loudness=1e-4), LIMITS)
    require_voice(make_voice(name="soft.wav", loudness=1e-2), LIMITS)
    with pytest.raises(UserError, match=r"zero\.wav cannot be used as the voice: its audio is empty"):
        require_voice(make_voice(0, "zero.wav"), LIMITS)
    with pytest.raises(UserError, match=r"song\.wav cannot be used as the face: has no video stream"):
        require_face(make_voice(name="song.wav"), LIMITS)


def _write_recording(path, times_ms):
    """A browser's recording: its header states no length. All its frames are alike."""
    with av.open(str(path), "w", options={"live": "1"}) as container:
        video = container.add_stream("libvpx", rate=25, options={"deadline": "realtime", "lag-in-frames": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        for time_ms in times_ms:
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


@pytest.mark.parametrize("spacing_ms", [10, 250])
def test_the_length_is_measured_at_any_frame_rate(tmp_path, spacing_ms):
    """At the usual rate, 25 a second, the first video would last 6 s, and the second 0.6 s."""
    path = tmp_path / "recorded.webm"
    num = 1500 // spacing_ms
    _write_recording(path, range(0, num * spacing_ms, spacing_ms))
    require_face(path, LIMITS)
    _write_recording(path, range(0, 2 * num * spacing_ms, spacing_ms))
    with pytest.raises(UserError, match=r"recorded\.webm lasts more than 2 s; longer files are not allowed"):
        require_face(path, LIMITS)


def test_a_dub_stops_at_more_frames_than_any_camera_makes(tmp_path):
    seen: list[PhaseProgress] = []
    watch = watch_frames(tmp_path / "flood.mp4", LIMITS, seen.append)
    allowed = PhaseProgress("generating frames", 480, None, None)
    watch(allowed)
    assert seen == [allowed]
    with pytest.raises(UserError, match=r"flood\.mp4 has more than 480 frames; allowed are 240 a second"):
        watch(replace(allowed, num_done=481))


@pytest.mark.parametrize("name", ["max_file_mb", "max_seconds", "max_side_px", "max_waiting", "keep_minutes"])
def test_a_limit_below_one_is_refused(name):
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} is 0; it must be at least 1"):
        AppLimits(**{name: 0})
