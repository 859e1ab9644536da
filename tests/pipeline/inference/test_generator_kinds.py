"""What each kind of generator hears."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.inference.generator_kinds import KINDS, OURS, WAV2LIP_RELEASED, ExtractedAudio


def heard(column: int, num_frames: int, fps: float = 25.0) -> list[int]:
    """The frames at which a released generator hears a click in one mel column."""
    mel = np.full((round(80 * num_frames / fps), 80), -4.0, np.float32)
    mel[column] = 4.0
    windows = WAV2LIP_RELEASED.audio_windows(ExtractedAudio(mel, np.zeros(0, np.int16)), range(num_frames), fps)
    assert windows.shape == (num_frames, 80, 16)
    return [frame for frame in range(num_frames) if (windows[frame] > 0).any()]


def test_a_released_generator_hears_a_click_at_the_frames_of_wav2lips_training() -> None:
    """There the window of frame f starts at column int(80 (f - 1) / 25)."""
    assert KINDS["wav2lip_released"] is WAV2LIP_RELEASED
    for column in range(40, 56):
        wanted = [f for f in range(1, 50) if 16 * (f - 1) // 5 <= column < 16 * (f - 1) // 5 + 16]
        assert heard(column, 50) == wanted
    assert heard(48, 50) == [12, 13, 14, 15, 16]  # 0.6 s, where frame 15 begins


def test_ours_hears_it_a_frame_later() -> None:
    mel = np.random.default_rng(0).uniform(-4, 4, (160, 80)).astype(np.float32)
    voice = ExtractedAudio(mel, np.zeros(0, np.int16))
    ours, released = (kind.audio_windows(voice, range(50), 25.0) for kind in (OURS, WAV2LIP_RELEASED))
    np.testing.assert_array_equal(released[:-1], ours[1:])


@pytest.mark.parametrize("fps", [12.5, 24.0, 29.97, 50.0, 60.0])
def test_at_any_frame_rate_it_hears_40_ms_later_than_centred(fps: float) -> None:
    mel = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 80, axis=1)
    frames = range(10, 100)
    windows = WAV2LIP_RELEASED.audio_windows(ExtractedAudio(mel, np.zeros(0, np.int16)), frames, fps)
    middle_s = (windows[:, 0, 0] + 8) / 80
    late_s = middle_s - (np.array(frames) + 0.5) / fps
    assert (late_s <= 0.04 + 1e-6).all() and (late_s > 0.04 - 0.0126).all()
