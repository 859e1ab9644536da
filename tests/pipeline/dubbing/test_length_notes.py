"""Notes on speech that is cut, and on video that is cut or repeated."""

from __future__ import annotations

import pytest

from pipeline.dubbing.segments import DubSegment
from tests.support.dub_runs import run

AFTER_VIDEO, AFTER_SEGMENT = "after the end of the video and are left out", "do not fit into the segment and are left"


@pytest.mark.parametrize(
    ("start_s", "end_s", "left_out_s", "note"),
    [
        (0.4, None, 0.4, AFTER_VIDEO),
        (0.4, 5.0, 0.4, AFTER_VIDEO),
        (0.4, 0.8, 0.4, AFTER_SEGMENT),
        (0.2, 0.6, 0.4, AFTER_SEGMENT),
        (0.0, None, 0.0, ""),
    ],
)
def test_speech_that_a_part_of_the_video_has_no_room_for(
    make_video, make_sound, tmp_path, start_s, end_s, left_out_s, note
):
    speech = make_sound(0.8)
    segment = DubSegment(audio=speech, start_s=start_s, end_s=end_s)
    notes = run(make_video(20), None, tmp_path / "out.mp4", segments=[segment]).notes
    assert len(notes) == bool(note)
    if note:
        assert notes[0].startswith(f"{speech}: the last {left_out_s:.2f} s ") and note in notes[0]


@pytest.mark.parametrize(("seconds", "is_noted"), [(0.85, False), (1.2, True)])
def test_speech_that_is_longer_than_the_video(make_video, make_sound, tmp_path, seconds, is_noted):
    speech = make_sound(seconds)
    notes = run(make_video(20), speech, tmp_path / "out.mp4", length="video").notes
    expected = f"{speech}: the last 0.40 s are after the end of the video and are left out"
    assert notes == ((expected,) if is_noted else ())


@pytest.mark.parametrize("who", ["largest", "1"], ids=["reads-the-beginning", "reads-all"])
@pytest.mark.parametrize(
    ("num_frames", "settings", "note"),
    [
        (20, {}, "only its first 0.40 s are used: the speech ends there"),
        (12, {}, ""),
        (8, {}, ""),
        (5, {}, "it is 0.20 s shorter than the speech, so it is repeated backwards and forwards"),
        (5, {"fill": "loop"}, "it is 0.20 s shorter than the speech, so it is repeated from its beginning"),
        (5, {"length": "video"}, ""),
        (1, {}, ""),
    ],
)
def test_a_video_of_another_length_than_the_speech(make_video, make_sound, tmp_path, who, num_frames, settings, note):
    face = make_video(num_frames)
    notes = run(face, make_sound(0.4), tmp_path / "out.mp4", who=who, **settings).notes
    assert [text for text in notes if text.startswith(str(face))] == ([f"{face}: {note}"] if note else [])
