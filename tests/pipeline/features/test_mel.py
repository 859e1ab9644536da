"""Mel spectrograms, against known answers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from pipeline.features.alignment import MEL_SILENCE
from pipeline.features.mel import mel_blocks, mel_filterbank, mel_spectrogram
from tests.support.media_readers import read_samples
from tests.support.sound import RATE, speech_like, tone


@pytest.mark.parametrize("num", [0, 1, 2, 199, 200, 399, 401, 3200, 48_000])
def test_mel_has_one_column_per_200_samples_and_silence_is_minus_four(num: int) -> None:
    mel = mel_spectrogram(np.zeros(num, np.float32))
    assert mel.shape == (1 + num // 200, 80)
    assert mel.dtype == np.float32
    assert (mel == MEL_SILENCE).all()


def test_mel_stays_in_range_for_loud_and_short_sounds() -> None:
    rng = np.random.default_rng(0)
    for num in (2, 5, 300, 401, 5000):
        mel = mel_spectrogram(rng.uniform(-1, 1, num).astype(np.float32) * 100)
        assert mel.shape == (1 + num // 200, 80)
        assert mel.min() >= -4.0
        assert mel.max() <= 4.0


@pytest.mark.parametrize("num", [0, 1, 2, 400, 401, 1000, 819_200, 819_600, 900_123])
def test_blocks_of_any_size_give_the_spectrogram_of_the_whole(num: int) -> None:
    """Parts of 4096 columns; 819 200 samples have one column more."""
    samples = np.random.default_rng(num).normal(0, 0.1, num).astype(np.float32)
    whole = mel_spectrogram(samples)
    sizes = (1, 7) if num <= 1000 else (777, 500_000)
    for size in sizes:
        blocks = (samples[start : start + size] for start in range(0, num, size))
        np.testing.assert_array_equal(np.concatenate(list(mel_blocks(blocks))), whole)
    if num > 1000:  # the reflection at the end reaches back over the last part
        np.testing.assert_allclose(mel_spectrogram(samples[(num // 200 - 700) * 200 :])[-600:], whole[-600:], atol=2e-3)


@pytest.mark.parametrize("hz", [200.0, 440.0, 1000.0, 3000.0, 6000.0])
def test_a_tone_lands_in_the_band_around_it(hz: float) -> None:
    mel = mel_spectrogram(tone(hz, 1.0))
    bands = mel_filterbank()
    weights = bands[:, round(hz / 20)]  # bins are 20 Hz apart
    assert weights[np.argmax(mel[40])] == weights.max()


def test_a_tone_has_the_level_of_the_formula() -> None:
    hz, amplitude = 1000.0, 0.25
    gain = abs(1 - 0.97 * np.exp(-2j * np.pi * hz / RATE))
    # A Hann window of 800 samples sums to 400; its main lobe reaches one bin to each side at half height.
    peak = amplitude * gain * 400 / 2
    bank = mel_filterbank()[:, 49:52].astype(np.float64)
    level = 20 * np.log10(np.maximum(1e-5, bank @ (peak * np.array([0.5, 1.0, 0.5])))) - 20
    expected = np.clip(8 * (level + 100) / 100 - 4, -4, 4)
    band = int(np.argmax(expected))
    assert mel_spectrogram(tone(hz, 1.0, amplitude=amplitude))[40, band] == pytest.approx(expected[band], abs=0.01)


def test_a_shift_by_one_hop_shifts_one_column() -> None:
    samples = speech_like()
    mel = mel_spectrogram(samples)
    later = mel_spectrogram(np.concatenate([np.zeros(200, np.float32), samples]))
    np.testing.assert_allclose(later[4:-3], mel[3:-3], atol=1e-4)


def test_mel_of_a_long_sound_is_computed_in_pieces_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = speech_like(2.0)
    whole = mel_spectrogram(samples)
    monkeypatch.setattr("pipeline.features.samples._ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(mel_spectrogram(samples), whole, atol=1e-5)


def test_mel_refuses_what_it_cannot_mean() -> None:
    with pytest.raises(ValueError, match="NaN"):
        mel_spectrogram(np.array([0.0, np.nan], np.float32))
    with pytest.raises(ValueError, match="mono"):
        mel_spectrogram(np.zeros((10, 2), np.float32))


def test_mel_filters_cover_the_band_with_slaneys_area() -> None:
    bank = mel_filterbank()
    assert bank.shape == (80, 401)
    bins_hz = np.arange(401) * 20.0
    assert (bank[:, (bins_hz <= 55) | (bins_hz >= 7600)] == 0).all()
    wide = bank[40:]  # low filters are narrower than two bins: their sampled area is coarse
    np.testing.assert_allclose(wide.sum(axis=1) * 20.0, 1.0, rtol=0.05)
    assert (np.diff(bank @ bins_hz / bank.sum(axis=1)) > 0).all()


@pytest.fixture
def librosa(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """librosa without numba, which compiles several of its functions for half a minute at the first import.

    ``filters.mel`` and ``stft`` use none of them.
    """
    monkeypatch.setitem(sys.modules, "numba", MagicMock())
    yield importlib.import_module("librosa")
    for name in [name for name in sys.modules if name.split(".")[0] == "librosa"]:
        del sys.modules[name]


@pytest.mark.slow
def test_mel_equals_librosa_on_a_real_clip(shared_data: Path, librosa: Any) -> None:
    samples = read_samples(shared_data / "grid" / "s26" / "lbbo3n.mpg")
    bank = librosa.filters.mel(
        sr=RATE, n_fft=800, n_mels=80, fmin=55.0, fmax=7600.0, htk=False, norm="slaney", dtype=np.float32
    )
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1]).astype(np.float32)
    spectrum = librosa.stft(
        emphasised, n_fft=800, hop_length=200, win_length=800, window="hann", center=True, pad_mode="reflect"
    )
    level = 20 * np.log10(np.maximum(1e-5, bank @ np.abs(spectrum))) - 20
    expected = np.clip(8 * (level + 100) / 100 - 4, -4, 4).T
    np.testing.assert_allclose(mel_spectrogram(samples), expected, atol=1e-3)
    assert mel_filterbank().tobytes() == bank.tobytes()
