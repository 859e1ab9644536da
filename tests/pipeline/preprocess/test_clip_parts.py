"""The parts of one clip: gaps without a face, cuts, and equal parts of long clips."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.mjpeg import decode_mjpeg
from pipeline.params import PreprocessParams
from pipeline.preprocess.clip import process_clip
from pipeline.preprocess.reasons import Reason
from pipeline.shards.index import Reject
from pipeline.shards.write import ClipSample
from tests.support.drawn_face import draw_face, tone
from tests.support.processed_clips import ANYWHERE, EMPTY, sample_of


@pytest.fixture
def uncut(params) -> PreprocessParams:
    """A face that is gone from one frame to the next is a cut, too; here it is the detector that misses it."""
    return params.model_copy(update={"cut_change": 0.0})


def test_short_gaps_are_bridged(make_clip, uncut) -> None:
    frames = [EMPTY if 10 <= k < 15 else draw_face(80, 80) for k in range(30)]
    sample = sample_of(make_clip(frames=frames), uncut)
    assert sample.num_frames == 30
    assert sample.stats["face_missing"] == pytest.approx(3 / 16)  # of frames 0, 2, ... 28 and 29


def test_a_face_that_comes_back_begins_another_sample(make_clip, uncut) -> None:
    frames = [EMPTY if 30 <= k < 44 or k >= 84 else draw_face(80, 80) for k in range(98)]
    first, away, second, gone = process_clip(make_clip("s1/a", frames=frames), uncut, ANYWHERE)
    assert isinstance(first, ClipSample) and isinstance(second, ClipSample)
    assert isinstance(away, Reject) and isinstance(gone, Reject)
    assert (first.num_frames, second.num_frames) == (29, 39)  # every second frame is looked at: 28, 44 and 82 have it
    assert (away.clip_id, away.reason, away.detail) == (
        "s1/a-p001",
        Reason.NO_FACE,
        "1.16 to 1.76 s: no face was found (params.yaml: preprocess.detector_max_px 160)",
    )
    assert (gone.clip_id, gone.reason, gone.detail) == (
        "s1/a-p003",
        Reason.NO_FACE,
        "3.32 to 3.92 s: no face was found (params.yaml: preprocess.detector_max_px 160)",
    )
    assert first.stats["face_missing"] == second.stats["face_missing"] == 0


def test_a_face_that_others_outlast_is_kept_while_it_is_there(make_clip, uncut) -> None:
    small = draw_face(80, 80, half=24)
    frames = [np.hstack([draw_face(80, 80) if 30 <= k < 70 else EMPTY, small]) for k in range(100)]
    largest = uncut.model_copy(update={"choose_face": "largest", "detector_max_px": 320})
    early, kept, late = process_clip(make_clip("s1/a", frames=frames), largest, ANYWHERE)
    assert isinstance(kept, ClipSample) and kept.num_frames == 39
    assert kept.stats["face_px"] > 80
    for reject, where in ((early, "0.00 to 1.20 s: "), (late, "2.76 to 4.00 s: ")):
        assert isinstance(reject, Reject) and reject.reason == Reason.FACE_LOST
        assert reject.detail.startswith(where) and "choose_face largest" in reject.detail


def test_a_face_that_comes_back_while_another_stays_begins_another_sample(make_clip, uncut) -> None:
    small = draw_face(80, 80, half=24)
    frames = [np.hstack([EMPTY if 30 <= k < 60 else draw_face(80, 80), small]) for k in range(90)]
    largest = uncut.model_copy(update={"choose_face": "largest", "detector_max_px": 320})
    first, away, second = process_clip(make_clip("s1/a", frames=frames), largest, ANYWHERE)
    assert isinstance(first, ClipSample) and isinstance(second, ClipSample)
    assert (first.num_frames, second.num_frames) == (29, 30)
    assert first.stats["face_px"] > 80 and second.stats["face_px"] > 80
    assert isinstance(away, Reject) and away.reason == Reason.FACE_LOST


def test_a_moment_of_a_face_does_not_part_the_time_without_one(make_clip, uncut) -> None:
    face = draw_face(80, 80)
    frames = [face if k < 30 or k in (40, 41, 60, 61) or k >= 80 else EMPTY for k in range(110)]
    first, away, second = process_clip(make_clip("s1/a", frames=frames), uncut, ANYWHERE)
    assert isinstance(first, ClipSample) and isinstance(second, ClipSample)
    assert isinstance(away, Reject) and away.reason == Reason.FACE_LOST
    assert away.detail.startswith("1.16 to 3.20 s: faces in 2 frames, but too briefly")


def test_a_face_that_leaps_is_followed_on_both_sides(make_clip, uncut) -> None:
    frames = [draw_face(50 if k < 30 else 110, 80, half=30) for k in range(60)]
    first, second = process_clip(make_clip("s1/a", frames=frames), uncut, ANYWHERE)
    assert isinstance(first, ClipSample) and isinstance(second, ClipSample)
    assert (first.num_frames, second.num_frames) == (29, 30)


def test_frames_without_the_face_are_cut_off_at_both_ends_with_their_sound(make_clip, uncut) -> None:
    late = np.concatenate([tone(6 / 25, loudness=0.01), tone(34 / 25)])
    frames = [draw_face(80, 80) if 6 <= k < 36 else EMPTY for k in range(40)]
    sample = sample_of(make_clip(frames=frames, sound=late), uncut)
    assert sample.num_frames == 29  # 6 to 34: every second frame is looked at
    assert sample.stats["face_missing"] == 0
    assert len(sample.audio) == 29 * 640
    assert np.abs(sample.audio[640:1280]).max() > 0.15 * 32768


def scene(shade: int, num_frames: int, x: float = 80) -> list[np.ndarray]:
    """A face before a wall of its own shade."""
    faces = (draw_face(x + 3 * np.sin(k / 8), 80) for k in range(num_frames))
    return [np.where(face == (120, 110, 100), np.uint8(shade), face).astype(np.uint8) for face in faces]


def test_a_cut_ends_a_sample_and_begins_another(make_clip, params) -> None:
    frames = scene(60, 30) + scene(200, 40, x=70)
    first, second = process_clip(make_clip("s1/a", frames=frames), params, ANYWHERE)
    assert isinstance(first, ClipSample)
    assert isinstance(second, ClipSample)
    assert (first.clip_id, second.clip_id) == ("s1/a-p000", "s1/a-p001")
    assert 29 <= first.num_frames <= 30
    assert 39 <= second.num_frames <= 40
    walls = [decode_mjpeg(s.context_mjpeg, s.context_bytes)[:, 2, 2].mean() for s in (first, second)]
    assert abs(walls[0] - walls[1]) > 100
    assert len(first.audio) == first.num_frames * 640


def test_without_cuts_wanted_a_clip_stays_whole(make_clip, params) -> None:
    frames = scene(60, 30) + scene(200, 40)
    whole = params.model_copy(update={"cut_change": 0.0})
    assert sample_of(make_clip(frames=frames), whole).num_frames == 70


def test_every_shot_is_a_sample_or_a_reject_that_says_where(make_clip, params) -> None:
    frames = scene(60, 30) + [EMPTY] * 30 + scene(200, 10) + scene(20, 30)
    kept, empty, brief, last = process_clip(make_clip("s1/a", frames=frames), params, ANYWHERE)
    assert isinstance(kept, ClipSample)
    assert isinstance(last, ClipSample)
    assert isinstance(empty, Reject)
    assert isinstance(brief, Reject)
    assert (empty.clip_id, empty.reason) == ("s1/a-p001", Reason.NO_FACE)
    assert empty.detail == "1.20 to 2.40 s: no face was found (params.yaml: preprocess.detector_max_px 160)"
    assert (brief.clip_id, brief.reason) == ("s1/a-p002", Reason.TOO_SHORT)
    assert brief.detail.startswith("2.40 to 2.80 s: ")
    assert last.clip_id == "s1/a-p003"


def test_a_shot_without_sound_is_rejected_alone(make_clip, params) -> None:
    half = np.concatenate([tone(30 / 25), np.zeros(40 * 640, np.float32)])
    record = make_clip("s1/a", frames=scene(60, 30) + scene(200, 40, x=70), sound=half)
    heard, silent = process_clip(record, params, ANYWHERE)
    assert isinstance(heard, ClipSample)
    assert isinstance(silent, Reject)
    assert (silent.clip_id, silent.reason) == ("s1/a-p001", Reason.SILENT_AUDIO)
    assert silent.detail.startswith("1.20 to 2.80 s: the audio RMS 0.0000")


def test_a_long_clip_is_cut_into_equal_parts_that_lose_nothing(make_clip, params) -> None:
    record = make_clip("s1/a", num_frames=130)
    whole = sample_of(record, params)
    parts = list(process_clip(record, params.model_copy(update={"max_clip_s": 2.0}), ANYWHERE))
    assert [part.clip_id for part in parts] == ["s1/a-p000", "s1/a-p001", "s1/a-p002"]
    assert [part.num_frames for part in parts] == [43, 43, 44]
    assert b"".join(part.frames_mjpeg for part in parts) == whole.frames_mjpeg
    assert (np.concatenate([part.audio for part in parts]) == whole.audio).all()
