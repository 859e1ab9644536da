"""Lip metrics of made landmarks and made sound, whose values follow from their definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.metrics import lips
from pipeline.metrics.lips import (
    INNER_LIPS,
    LIPS,
    lip_score,
    lip_steps,
    loudness_db,
    mouth_openings,
    opening_correlation,
    pause_frames,
    speech_frames,
)

EYES_PX = 50.0
FRAME = 640
"""Samples of one frame."""


def faces(openings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks of a face whose inner lips are apart by ``openings``, relative to the distance of the eyes."""
    points = np.random.default_rng(0).uniform(0, 100, (468, 3))
    points[33], points[263] = (20, 30, 5), (20 + EYES_PX, 30, -5)
    found = np.repeat(points[None], len(openings), axis=0)
    for upper, lower in INNER_LIPS:
        found[:, lower, :2] = found[:, upper, :2]
        found[:, lower, 1] += openings * EYES_PX
    return found


def moved(points: NDArray[np.float64], degrees: float, scale: float, shift: tuple[float, float]) -> NDArray[np.float64]:
    turn = np.deg2rad(degrees)
    turned = points[..., :2] @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.concatenate([turned * scale + shift, points[..., 2:]], axis=-1)


def tone(amplitudes: NDArray[np.float64]) -> NDArray[np.int16]:
    """Audio with one amplitude (1 is full scale) per frame."""
    wave = np.sin(2 * np.pi * np.arange(FRAME) / 16)
    return np.round(32767 * amplitudes[:, None] * wave).astype(np.int16).ravel()


def test_the_opening_is_relative_to_the_eyes_and_independent_of_place_size_and_roll() -> None:
    wanted = np.array([0.0, 0.1, 0.25])
    points = faces(wanted)
    assert mouth_openings(points) == pytest.approx(wanted)
    assert mouth_openings(moved(points, 30.0, 1.7, (12.0, -4.0))) == pytest.approx(wanted)


def test_loudness_is_the_level_of_each_frame() -> None:
    measured = loudness_db(tone(np.array([1.0, 0.1, 0.0])))
    assert measured == pytest.approx([-3.01, -23.01, -80.0], abs=0.01)
    assert len(loudness_db(tone(np.array([1.0]))[:-1])) == 0


@pytest.mark.parametrize(("factor", "wanted"), [(0.01, 1.0), (-0.01, -1.0), (0.0, 0.0)])
def test_correlation_of_a_mouth_that_follows_opposes_or_ignores_the_sound(factor: float, wanted: float) -> None:
    loudness = np.random.default_rng(1).uniform(-40, -10, 30)
    everywhere = np.ones(30, bool)
    assert opening_correlation(0.5 + factor * loudness, loudness, everywhere) == pytest.approx(wanted)


def test_correlation_covers_frames_of_speech_with_a_face_only() -> None:
    loudness = np.random.default_rng(2).uniform(-40, -10, 40)
    openings = 0.5 + 0.01 * loudness
    openings[:20] = np.random.default_rng(3).uniform(0, 1, 20)
    is_speech = np.arange(40) >= 20
    assert opening_correlation(openings, loudness, is_speech) == pytest.approx(1)
    openings[[25, 30]] = np.nan
    assert opening_correlation(openings, loudness, is_speech) == pytest.approx(1)
    openings[20:29] = np.nan
    assert opening_correlation(openings, loudness, is_speech) is None  # 10 frames are left


def test_late_sound_lowers_the_correlation() -> None:
    """No lag is searched."""
    amplitudes = np.random.default_rng(4).uniform(0.05, 0.5, 60)
    loudness = loudness_db(tone(amplitudes))
    points = faces(0.5 + 0.01 * loudness)
    speech = [(0, 60 * FRAME)]
    in_sync = lip_score(points, tone(amplitudes), speech, 1.0).opening_correlation
    late = lip_score(points, tone(np.roll(amplitudes, 3)), speech, 1.0).opening_correlation
    assert in_sync == pytest.approx(1) and late is not None and abs(late) < 0.5


def test_motion_of_the_head_is_no_motion_of_the_lips() -> None:
    still = faces(np.full(1, 0.1))
    frames = np.concatenate([still, moved(still, 4.0, 1.05, (3.0, -2.0)), moved(still, -3.0, 0.9, (0.0, 5.0))])
    assert lip_steps(frames) == pytest.approx([0, 0], abs=1e-9)


def test_a_step_is_the_mean_distance_over_the_landmarks_of_the_lips() -> None:
    frames = np.repeat(faces(np.full(1, 0.1)), 4, axis=0)
    frames[1:, list(LIPS), 1] += 2.0
    frames[2, LIPS[0], 0] += 3.0
    frames[3] = np.nan
    steps = lip_steps(frames)
    assert steps[:2] == pytest.approx([2.0, 3.0 / len(set(LIPS))]) and np.isnan(steps[2])


def test_frames_of_speech_and_pauses_are_whole() -> None:
    speech = [(4800, 9600), (14399, 16001)]  # silences of 300 ms, 1 sample less, and to the end
    assert np.flatnonzero(speech_frames(speech, 40)).tolist() == [*range(8, 15), 23, 24]
    assert np.flatnonzero(pause_frames(speech, 40)).tolist() == [*range(7), *range(26, 40)]
    assert speech_frames([], 3).tolist() == [False] * 3 and pause_frames([], 3).tolist() == [False] * 3
    assert pause_frames([], 8).all()
    assert not pause_frames([(0, 99 * FRAME)], 20).any()


def test_a_clip_that_speaks_and_rests() -> None:
    amplitudes = np.concatenate([np.zeros(10), np.random.default_rng(5).uniform(0.05, 0.5, 20), np.zeros(10)])
    loudness = loudness_db(tone(amplitudes))
    points = faces(1.0 + 0.01 * loudness)
    points[3:10, list(LIPS), 0] += 0.5  # one step of half a pixel in the first pause
    score = lip_score(points, tone(amplitudes), [(10 * FRAME, 30 * FRAME)], px_per_unit=2.0)
    assert score.opening_correlation == pytest.approx(1)
    assert score.num_pause_steps == 9 + 9
    assert score.pause_motion_px == pytest.approx(2.0 * 0.5 / 18)


def test_a_still_face_rests_and_does_not_follow_the_sound() -> None:
    amplitudes = np.concatenate([np.random.default_rng(6).uniform(0.05, 0.5, 20), np.zeros(10)])
    score = lip_score(faces(np.full(30, 0.2)), tone(amplitudes), [(0, 20 * FRAME)], 1.0)
    assert (score.opening_correlation, score.pause_motion_px) == (0.0, pytest.approx(0, abs=1e-9))


def test_a_clip_without_speech_or_pauses_has_no_value() -> None:
    points, audio = faces(np.full(30, 0.2)), tone(np.full(30, 0.1))
    assert lip_score(points, audio, [(0, 30 * FRAME)], 1.0).pause_motion_px is None
    assert lip_score(points, audio, [], 1.0).opening_correlation is None
    assert lip_score(points[:0], audio, [], 1.0) == lips.LipScore(None, None, 0)


def test_steady_landmarks_are_no_landmarks_of_the_lips() -> None:
    assert not {*lips.STEADY} & {*LIPS}
    assert len(LIPS) == len(set(LIPS)) == 40 and {point for pair in INNER_LIPS for point in pair} < set(LIPS)
