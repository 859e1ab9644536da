"""The sound of whole dubs: rates, channels, tracks, and its beginning."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tests.support.dub_runs import run
from tests.support.media_readers import read_native_samples, sound_format_of
from tests.support.sound import tone
from tests.support.sound_files import make_undecodable, write_video


@pytest.mark.parametrize("rate_hz", [7_350, 8_000, 22_050, 192_000])
def test_odd_sample_rates(make_video, make_sound, tmp_path, rate_hz):
    run(make_video(5), make_sound(0.3, rate_hz), tmp_path / "out.mp4")
    expected = rate_hz if rate_hz in (8_000, 22_050) else 48_000
    assert sound_format_of(tmp_path / "out.mp4")[0] == expected


def test_six_channels_are_mixed_to_stereo(make_video, make_sound, tmp_path):
    run(make_video(5), make_sound(0.5, 48_000, channels=6), tmp_path / "out.mp4")
    assert sound_format_of(tmp_path / "out.mp4") == (48_000, 2)


@pytest.mark.parametrize(("audio_track", "expected_hz"), [(None, 600), (1, 300), (2, 600)])
def test_the_speech_is_the_default_track_or_the_chosen_one(make_video, tmp_path, audio_track, expected_hz):
    both = tmp_path / "both.mkv"
    write_video(both, [tone(300, 1.0)[:, None], tone(600, 1.0)[:, None]], default=1)
    summary = run(make_video(25), both, tmp_path / "out.mp4", audio_track=audio_track)
    named = f"{both}: audio track 2 is used; its audio tracks are 1 (aac, mono), 2 (aac, mono)"
    assert summary.notes == (() if audio_track else (named,))
    samples, rate_hz = read_native_samples(tmp_path / "out.mp4")
    middle = samples[rate_hz // 4 : 3 * rate_hz // 4, 0]
    assert np.argmax(np.abs(np.fft.rfft(middle))) * 2 == expected_hz


def test_sound_before_the_picture_is_kept_unless_the_picture_is_its_own(make_video, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    late, leads = tmp_path / "late.mkv", "the first 0.42 s of its sound come before its video"
    write_video(late, [tone(300, 1.5)[:, None]], seconds=1.0, picture_s=0.5)
    summary = run(make_video(5), late, tmp_path / "out.mp4")
    assert summary.duration_s == pytest.approx(1.5, abs=0.13)
    assert [note for note in summary.notes if note.startswith(str(late))] == [
        f"{late}: {leads} and are kept: the dub begins with them",
    ]
    summary = run(late, late, tmp_path / "out.mp4")
    assert summary.duration_s == pytest.approx(1.0, abs=0.13)
    assert f"{leads} and are left out" in caplog.text


def test_an_undecodable_track_is_no_obstacle_in_either_input(make_video, make_sound, tmp_path):
    spatial = tmp_path / "spatial.mov"
    write_video(spatial, [tone(300, 1.0)[:, None], tone(600, 1.0)[:, None]])
    make_undecodable(spatial)
    assert run(spatial, make_sound(0.4), tmp_path / "out.mp4").num_frames == 10
    assert run(make_video(5), spatial, tmp_path / "out.mp4").num_frames == pytest.approx(25, abs=2)  # AAC pads
    write_video(spatial, [tone(300, 1.0)[:, None]])
    make_undecodable(spatial)
    assert run(spatial, make_sound(0.4), tmp_path / "out.mp4").num_frames == 10
