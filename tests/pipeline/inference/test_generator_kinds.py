"""Audio windows of each kind of generator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import numpy as np
import pytest
import torch

from models.choices import LstmOver, MelSteps
from models.generator import GeneratorConfig
from pipeline.core.errors import UserError
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.inference.generator_kinds import (
    KINDS,
    LIPGAN,
    LIPGAN_SHORT,
    OURS,
    OURS_CONTEXT,
    OURS_CONTEXT_BOTH,
    OURS_CONTEXT_BOTH_LONG,
    OURS_CONTEXT_LONG,
    OURS_LONG,
    WAV2LIP_RELEASED,
    GeneratorKind,
    kind_of,
)

SILENCE = ExtractedAudio(np.zeros((40, 80), np.float32), np.zeros(0, np.int16))


def frames_with_column(column: int, num_frames: int, fps: float = 25.0) -> list[int]:
    """The frames whose window of the released generator contains a mel column."""
    mel = np.full((round(80 * num_frames / fps), 80), -4.0, np.float32)
    mel[column] = 4.0
    windows = WAV2LIP_RELEASED.audio_windows(ExtractedAudio(mel, np.zeros(0, np.int16)), range(num_frames), fps)
    assert windows.shape == (num_frames, 80, 16)
    return [frame for frame in range(num_frames) if (windows[frame] > 0).any()]


def test_the_windows_of_a_released_generator_are_those_of_wav2lips_training() -> None:
    """In Wav2Lip's training code the window of frame f starts at column int(80 (f - 1) / 25)."""
    assert KINDS["wav2lip_released"] is WAV2LIP_RELEASED
    for column in range(40, 56):
        wanted = [f for f in range(1, 50) if 16 * (f - 1) // 5 <= column < 16 * (f - 1) // 5 + 16]
        assert frames_with_column(column, 50) == wanted
    assert frames_with_column(48, 50) == [12, 13, 14, 15, 16]  # 0.6 s, the start of frame 15


def test_the_windows_of_ours_are_one_frame_earlier() -> None:
    mel = np.random.default_rng(0).uniform(-4, 4, (160, 80)).astype(np.float32)
    voice = ExtractedAudio(mel, np.zeros(0, np.int16))
    ours, released = (kind.audio_windows(voice, range(50), 25.0) for kind in (OURS, WAV2LIP_RELEASED))
    np.testing.assert_array_equal(released[:-1], ours[1:])


@pytest.mark.parametrize("fps", [12.5, 24.0, 29.97, 50.0, 60.0])
def test_the_windows_of_a_released_generator_are_40_ms_late_at_any_frame_rate(fps: float) -> None:
    mel = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 80, axis=1)
    frames = range(10, 100)
    windows = WAV2LIP_RELEASED.audio_windows(ExtractedAudio(mel, np.zeros(0, np.int16)), frames, fps)
    middle_s = (windows[:, 0, 0] + 8) / 80
    late_s = middle_s - (np.array(frames) + 0.5) / fps
    assert (late_s <= 0.04 + 1e-6).all() and (late_s > 0.04 - 0.0126).all()


@pytest.mark.parametrize("fps", [12.5, 23.976, 25.0, 29.97, 60.0])
def test_windows_with_context_contain_the_windows_of_ours(fps: float) -> None:
    mel = np.random.default_rng(0).uniform(-4, 4, (160, 80)).astype(np.float32)
    voice = ExtractedAudio(mel, np.zeros(0, np.int16))
    frames = range(int(2 * fps))
    ours, before, around = (kind.audio_windows(voice, frames, fps) for kind in (OURS, OURS_CONTEXT, OURS_CONTEXT_BOTH))
    assert (before.shape[2], around.shape[2]) == (80, 96)
    np.testing.assert_array_equal(before[:, :, 64:], ours)
    np.testing.assert_array_equal(around[:, :, :80], before)


def test_windows_with_context_are_silent_outside_a_clip_that_is_shorter() -> None:
    voice = ExtractedAudio(np.ones((24, 80), np.float32), np.zeros(0, np.int16))  # 0.3 s; 0.8 s of context
    before, around = (kind.audio_windows(voice, range(1), 25.0)[0] for kind in (OURS_CONTEXT, OURS_CONTEXT_BOTH))
    # The window of frame 0 starts at column -7, its context at column -71.
    assert before[0].tolist() == [-4] * 71 + [1] * 9
    assert around[0].tolist() == [-4] * 71 + [1] * 24 + [-4]


@pytest.mark.parametrize("fps", [12.5, 23.976, 25.0, 60.0])
def test_long_windows_are_those_of_lipgan_and_short_ones_those_of_ours(fps: float) -> None:
    mel = np.random.default_rng(0).uniform(-4, 4, (160, 80)).astype(np.float32)
    voice = ExtractedAudio(mel, np.zeros(0, np.int16))
    short, long, before, around = (
        [kind.audio_windows(voice, range(int(2 * fps)), fps) for kind in kinds]
        for kinds in ((OURS, LIPGAN_SHORT), (LIPGAN, OURS_LONG), (OURS_CONTEXT_LONG,), (OURS_CONTEXT_BOTH_LONG,))
    )
    np.testing.assert_array_equal(*short)
    np.testing.assert_array_equal(*long)
    assert (short[0].shape[2], long[0].shape[2]) == (16, 27)
    np.testing.assert_array_equal(before[0][:, :, 64:], long[0])
    np.testing.assert_array_equal(around[0][:, :, :91], before[0])
    for one, wide in zip(short[0], long[0], strict=True):  # both are centred on the frame
        assert any(np.array_equal(wide[:, at : at + 16], one) for at in (5, 6))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (OURS, {"mel_steps": 27}),
        (OURS_LONG, {}),
        (OURS_LONG, {"mel_steps": 27, "lstm_over": "context"}),
        (OURS_CONTEXT, {"mel_steps": 27, "lstm_over": "context"}),
        (LIPGAN, {"mel_steps": 16}),
        (LIPGAN_SHORT, {}),
    ],
)
def test_a_model_whose_config_has_other_windows_than_its_kind_is_refused(
    kind: GeneratorKind, config: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=f"its kind {kind.name} does not have the mel windows of "):
        kind.build({"width": 0.0625, **config})


@pytest.mark.parametrize("mel_steps", get_args(MelSteps))
@pytest.mark.parametrize("lstm_over", get_args(LstmOver))
@pytest.mark.parametrize("use_lstm", [True, False])
def test_the_kind_of_a_network_has_its_windows(lstm_over: LstmOver, use_lstm: bool, mel_steps: MelSteps) -> None:
    config = GeneratorConfig(width=0.0625, lstm_hidden=8, lstm_over=lstm_over, use_lstm=use_lstm, mel_steps=mel_steps)
    kind = kind_of(config)
    assert KINDS[kind.name] is kind
    windows = torch.from_numpy(kind.audio_windows(SILENCE, range(2), 25.0))
    with torch.no_grad():
        assert kind.build(asdict(config))(windows[None, :, None], torch.zeros(1, 2, 6, 96, 96)).shape[1] == 2
