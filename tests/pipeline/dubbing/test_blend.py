"""Shares of the generated mouth at borders and in silence."""

from __future__ import annotations

import numpy as np

from pipeline.dubbing.blend import blend_frames, generated_shares

SILENT = np.zeros(0, np.int16)
TONE = (6000 * np.sin(np.arange(16_000) / 4)).astype(np.int16)


def starts(num_frames):
    return np.arange(num_frames) / 25


def test_without_segments_and_with_rest_all_frames_are_generated():
    np.testing.assert_array_equal(generated_shares(starts(50), 25.0, [], SILENT, "rest"), np.ones(50))


def test_a_segment_begins_and_ends_gradually_inside_its_borders():
    shares = generated_shares(starts(50), 25.0, [(0.4, 1.2)], SILENT, "rest")
    assert np.flatnonzero(shares).tolist() == list(range(10, 30))
    np.testing.assert_allclose(shares[10:14], [0.25, 0.5, 0.75, 1], atol=1e-6)
    np.testing.assert_allclose(shares[10:30], shares[10:30][::-1])


def test_no_change_between_adjacent_segments_and_at_the_ends_of_the_video():
    np.testing.assert_array_equal(generated_shares(starts(50), 25.0, [(0, 1), (1, 2)], SILENT, "rest"), np.ones(50))


def test_in_silence_the_source_is_kept_and_lips_move_a_little_before_and_after_the_sound():
    audio = np.concatenate([np.zeros(16_000, np.int16), TONE, np.zeros(16_000, np.int16)])
    shares = generated_shares(starts(75), 25.0, [], audio, "keep")
    assert (shares[:20] == 0).all() and (shares[55:] == 0).all()
    assert (shares[24:51] == 1).all()
    assert (np.diff(shares[18:25]) >= 0).all() and 0 < shares[21:23].min() < 1


def test_keep_without_any_speech_generates_nothing():
    assert not generated_shares(starts(25), 25.0, [], np.zeros(16_000, np.int16), "keep").any()


def test_frames_are_blended():
    source = np.zeros((6, 4, 3), np.uint8)
    dubbed = source.copy()
    dubbed[2:4] = 200
    assert blend_frames(source, dubbed, 1.0) is dubbed
    np.testing.assert_array_equal(blend_frames(source, dubbed, 0.25)[2:4], 50)
    assert not blend_frames(source, dubbed, 0.25)[[0, 1, 4, 5]].any()
    np.testing.assert_array_equal(blend_frames(source, source, 0.25), source)


def test_frames_at_their_own_times_are_inside_a_segment_by_time():
    starts_s = np.array([0.0, 0.04, 0.5, 0.54, 1.2])
    shares = generated_shares(starts_s, 25.0, [(0.45, 1.0)], SILENT, "rest")
    assert np.flatnonzero(shares).tolist() == [2, 3]
