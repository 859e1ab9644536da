"""Frames and mel columns: the click test ties both paths to the same clock."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.features import alignment


@pytest.mark.parametrize(("frame", "column"), [(0, 0), (1, 3), (2, 6), (5, 16), (25, 80), (74, 236)])
def test_window_start_is_wav2lips_integer_rule(frame: int, column: int) -> None:
    assert alignment.mel_window_start(frame) == column


def test_generator_window_is_centred_on_its_frame() -> None:
    start = alignment.mel_window_start(10, lead_frames=alignment.centred_lead_frames())
    first_s, last_s = start / 80, (start + alignment.MEL_WINDOW - 1) / 80
    middle_of_frame_s = 10.5 / 25
    assert abs((first_s + last_s) / 2 - middle_of_frame_s) <= 1.5 / 80


def test_a_loud_column_is_heard_by_the_same_frames_in_training_and_inference() -> None:
    mel = np.full((240, 80), -4.0, np.float32)
    mel[80] = 4.0  # 1 s, frame 25
    windows = alignment.frame_mel_windows(mel, range(75))
    heard = [f for f in range(75) if (windows[f] > 0).any()]
    assert heard == [23, 24, 25, 26, 27]
    sync = [s for s in range(71) if (alignment.sync_mel_window(mel, s) > 0).any()]
    assert sync == [21, 22, 23, 24, 25]


def test_outside_the_clip_is_silence_and_no_frame_is_dropped() -> None:
    mel = np.zeros((10, 80), np.float32)
    window = alignment.mel_window(mel, -6)
    assert (window[:, :6] == -4).all()
    assert (window[:, 6:] == 0).all()
    assert alignment.frame_mel_windows(mel, range(0)).shape == (0, 80, 16)
    assert (alignment.mel_window(mel, 500) == -4).all()


@pytest.mark.parametrize("num_frames", [1, 24, 75, 1000])
@pytest.mark.parametrize("fps", [25.0, 30.0, 30000 / 1001])
def test_frames_and_samples_round_trip(num_frames: int, fps: float) -> None:
    assert alignment.num_frames_of(alignment.num_samples_of(num_frames, fps), fps) == num_frames


@pytest.mark.parametrize("fps", [12.5, 24.0, 25.0, 29.97, 50.0, 60.0])
def test_windows_are_centred_on_their_frame(fps: float) -> None:
    for frame in range(200):
        start = alignment.mel_window_start(frame, fps, alignment.centred_lead_frames(fps))
        middle_s = (start + 7.5) / 80  # of its first and its last column, centred on start / 80 and (start + 15) / 80
        assert -0.0188 <= middle_s - (frame + 0.5) / fps <= -0.0062
    assert alignment.centred_lead_frames(25.0) == pytest.approx(2.0)
