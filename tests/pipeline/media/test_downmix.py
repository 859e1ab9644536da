"""Mixing of more than two channels, against the weights of ITU-R BS.775."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from tests.support.media_readers import read_native_samples, read_samples
from tests.support.sound import tone
from tests.support.sound_files import write_sound

RATE_HZ = 48_000
HALF = 2**-0.5
LEFT, RIGHT, BOTH, BACK = (1, 0), (0, 1), (HALF, HALF), (0.5, 0.5)
REAR_LEFT, REAR_RIGHT, LOW = (HALF, 0), (0, HALF), (0, 0)
WEIGHTS = {
    "3.0": (LEFT, RIGHT, BOTH),
    "4.0": (LEFT, RIGHT, BOTH, BACK),
    "quad": (LEFT, RIGHT, REAR_LEFT, REAR_RIGHT),
    "5.0": (LEFT, RIGHT, BOTH, REAR_LEFT, REAR_RIGHT),
    "5.1": (LEFT, RIGHT, BOTH, LOW, REAR_LEFT, REAR_RIGHT),
    "5.1(side)": (LEFT, RIGHT, BOTH, LOW, REAR_LEFT, REAR_RIGHT),
    "7.1": (LEFT, RIGHT, BOTH, LOW, REAR_LEFT, REAR_RIGHT, REAR_LEFT, REAR_RIGHT),
}


def one_after_the_other(num_channels: int, seconds: float = 0.1, level: float = 0.5) -> np.ndarray:
    """``level`` in one channel at a time: float32 [n, channels]."""
    return np.repeat(np.eye(num_channels, dtype=np.float32) * level, round(seconds * RATE_HZ), axis=0)


def levels_in(samples: np.ndarray, num_channels: int) -> np.ndarray:
    """The level in the middle of each channel's turn: [channels, ...]."""
    return np.stack([part[len(part) // 2] for part in np.array_split(samples, num_channels)])


@pytest.mark.parametrize("layout", WEIGHTS)
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_each_channel_has_its_weight(tmp_path: Path, layout: str, codec: str) -> None:
    weights = np.array(WEIGHTS[layout])
    write_sound(tmp_path / "s.wav", one_after_the_other(len(weights)), RATE_HZ, codec, layout=layout)
    samples, rate_hz = read_native_samples(tmp_path / "s.wav")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(levels_in(samples, len(weights)), 0.5 * weights, atol=2e-4)
    mono = read_samples(tmp_path / "s.wav")
    np.testing.assert_allclose(levels_in(mono, len(weights)), 0.5 * weights.mean(axis=1), atol=2e-3)


@pytest.mark.parametrize(("layout", "num_channels"), [("5.1", 6), ("7.1", 8)])
def test_speech_in_the_centre_keeps_its_loudness(tmp_path: Path, layout: str, num_channels: int) -> None:
    """In AAC, whose planar frames of eight channels PyAV cannot convert itself."""
    centre = np.zeros((RATE_HZ, num_channels), np.float32)
    centre[:, 2] = tone(440, 1.0, RATE_HZ)
    write_sound(tmp_path / "s.m4a", centre, RATE_HZ, "aac", layout=layout, bit_rate=640_000)
    middle = read_samples(tmp_path / "s.m4a")[4000:12000]
    assert np.abs(middle).max() == pytest.approx(0.5 * HALF, rel=0.03)  # 3 dB, as any player


def test_six_channels_without_positions_are_taken_for_5_1(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "s.wav", RATE_HZ, one_after_the_other(6))
    samples, _ = read_native_samples(tmp_path / "s.wav")
    np.testing.assert_allclose(levels_in(samples, 6), 0.5 * np.array(WEIGHTS["5.1"]), atol=2e-4)


@pytest.mark.parametrize(("layout", "num_channels"), [(None, 3), (None, 4), (None, 9), ("BL+BR+BC", 3)])
def test_channels_without_weights_are_averaged(tmp_path: Path, layout: str | None, num_channels: int) -> None:
    sound = one_after_the_other(num_channels)
    if layout is None:
        wavfile.write(tmp_path / "s.wav", RATE_HZ, sound)
    else:
        write_sound(tmp_path / "s.wav", sound, RATE_HZ, "pcm_f32le", layout=layout)
    samples, _ = read_native_samples(tmp_path / "s.wav")
    np.testing.assert_allclose(samples, np.full((len(sound), 1), 0.5 / num_channels), atol=1e-6)
