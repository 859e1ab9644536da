"""The two spectral inputs of the networks.

``mel_spectrogram`` feeds the expert and the generators (Prajwal et al. 2020, "Wav2Lip"), ``mfcc`` the evaluator (Chung
and Zisserman 2016, "Out of time") and Speech2Vid.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.alignment import MEL_HOP_SAMPLES, MEL_SILENCE, NUM_MELS, SAMPLE_RATE_HZ

Float32 = NDArray[np.float32]

NUM_CEPSTRA = 13

_FFT_SAMPLES = 800
_MEL_MIN_HZ, _MEL_MAX_HZ = 55.0, 7600.0
_PRE_EMPHASIS = 0.97
_MIN_DB, _REFERENCE_DB = -100.0, 20.0

_MFCC_FRAME_SAMPLES, _MFCC_HOP_SAMPLES, _MFCC_FFT = 400, 160, 512
_MFCC_FILTERS, _MFCC_LIFTER = 26, 22

_ROWS_AT_ONCE = 4096  # spectra computed together: bounds the memory of an hour of sound


def mel_spectrogram(samples: Float32) -> Float32:
    """Log mel spectrogram, ``float32 [1 + n // 200, 80] in [-4, 4]``, of 16 kHz mono ``float32 [n]``.

    Wav2Lip's front end: pre-emphasis 0.97, centred 50 ms Hann windows every 12.5 ms (reflected at the
    ends), 80 Slaney mel bands in 55-7600 Hz, dB mapped from [-100, 0] to [-4, 4]. Column k is
    centred at 12.5 k ms; silence is -4 everywhere. Raises ValueError for samples that are not finite.
    """
    samples = _mono_finite(samples)
    num_columns = 1 + len(samples) // MEL_HOP_SAMPLES
    if len(samples) < 2:  # nothing to reflect
        return np.full((num_columns, NUM_MELS), MEL_SILENCE, np.float32)
    emphasised = samples.copy()
    emphasised[1:] -= np.float32(_PRE_EMPHASIS) * samples[:-1]
    padded = np.pad(emphasised, _FFT_SAMPLES // 2, mode="reflect")
    ramp = 2.0 * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES
    window = (0.5 - 0.5 * np.cos(ramp)).astype(np.float32)
    bank = mel_filterbank().T
    mel = np.empty((num_columns, NUM_MELS), np.float32)
    for rows, frames in _framed(padded, _FFT_SAMPLES, MEL_HOP_SAMPLES):
        mel[rows] = np.abs(np.fft.rfft(frames * window, axis=1)).astype(np.float32) @ bank
    decibels = 20.0 * np.log10(np.maximum(1e-5, mel)) - _REFERENCE_DB
    scaled = 8.0 * (decibels - _MIN_DB) / -_MIN_DB - 4.0
    return np.clip(scaled, -4.0, 4.0).astype(np.float32)


def mfcc(samples: NDArray[np.int16]) -> Float32:
    """MFCC of the evaluator, ``float32 [frames, 13]``, of 16 kHz mono ``int16 [n]``.

    The defaults of python_speech_features on int16 values: 25 ms rectangular frames every 10 ms, 26
    triangular filters in 0-8000 Hz on a 512-point power spectrum, orthonormal DCT-II, lifter 22,
    and the log energy in place of coefficient 0. Raises ValueError unless the samples are int16 [n].
    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"mfcc needs int16 [n] samples, got {samples.dtype} {samples.shape}")
    signal = samples.astype(np.float64)
    signal[1:] -= _PRE_EMPHASIS * samples[:-1]
    excess = max(0, len(signal) - _MFCC_FRAME_SAMPLES)
    num_frames = 1 + -(-excess // _MFCC_HOP_SAMPLES)
    length = (num_frames - 1) * _MFCC_HOP_SAMPLES + _MFCC_FRAME_SAMPLES
    padded = np.pad(signal, (0, length - len(signal)))
    bank, dct = _mfcc_filterbank().T, _lifted_dct()
    smallest = np.finfo(np.float64).eps  # the logarithm's stand-in for zero
    cepstra = np.empty((num_frames, NUM_CEPSTRA), np.float32)
    for rows, frames in _framed(padded, _MFCC_FRAME_SAMPLES, _MFCC_HOP_SAMPLES):
        power = np.abs(np.fft.rfft(frames, _MFCC_FFT, axis=1)) ** 2 / _MFCC_FFT
        bands, energy = power @ bank, power.sum(axis=1)
        cepstra[rows] = np.log(np.where(bands == 0, smallest, bands)) @ dct
        cepstra[rows, 0] = np.log(np.where(energy == 0, smallest, energy))
    return cepstra


def _mono_finite(samples: Float32) -> Float32:
    if samples.ndim != 1:
        raise ValueError(f"mel_spectrogram needs mono [n] samples, got shape {samples.shape}")
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise ValueError("the samples hold NaN or infinity; repair or reject this sound")
    return samples


def _framed(signal: NDArray[Any], size: int, hop: int) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Overlapping frames ``[rows, size]`` (read-only views) with the slice of rows they are."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[::hop]
    for start in range(0, len(frames), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(frames)))
        yield rows, frames[rows]


@lru_cache(maxsize=1)
def mel_filterbank() -> Float32:
    """Triangular filters ``float32 [80, 401]``, Slaney scale and area norm (Auditory Toolbox)."""
    from librosa.filters import mel  # over a second to import: not at the top

    bank: Float32 = mel(
        sr=SAMPLE_RATE_HZ,
        n_fft=_FFT_SAMPLES,
        n_mels=NUM_MELS,
        fmin=_MEL_MIN_HZ,
        fmax=_MEL_MAX_HZ,
        htk=False,
        norm="slaney",
        dtype=np.float32,
    )
    return bank


@lru_cache(maxsize=1)
def _mfcc_filterbank() -> NDArray[np.float64]:
    """Triangular filters ``float64 [26, 257]`` between whole FFT bins, equal steps in 2595 log10 mel."""
    top = 2595.0 * np.log10(1.0 + (SAMPLE_RATE_HZ / 2) / 700.0)
    hz = 700.0 * (10.0 ** (np.linspace(0.0, top, _MFCC_FILTERS + 2) / 2595.0) - 1.0)
    edges = np.floor((_MFCC_FFT + 1) * hz / SAMPLE_RATE_HZ)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(_MFCC_FFT // 2 + 1)[None, :]
    rising = np.where((bins >= low) & (bins < centre), (bins - low) / (centre - low), 0.0)
    falling = np.where((bins >= centre) & (bins < high), (high - bins) / (high - centre), 0.0)
    return rising + falling


@lru_cache(maxsize=1)
def _lifted_dct() -> NDArray[np.float64]:
    """Orthonormal DCT-II of 26 bands to 13 cepstra, scaled by the sine lifter: ``float64 [26, 13]``."""
    bands = np.arange(_MFCC_FILTERS)[:, None]
    order = np.arange(NUM_CEPSTRA)[None, :]
    basis = np.cos(np.pi * order * (2 * bands + 1) / (2 * _MFCC_FILTERS))
    basis *= np.sqrt(np.where(order == 0, 1.0, 2.0) / _MFCC_FILTERS)
    return basis * (1.0 + _MFCC_LIFTER / 2 * np.sin(np.pi * order / _MFCC_LIFTER))


def float_to_int16(samples: Float32) -> NDArray[np.int16]:
    """Scale by 32768, round, clip; inverse of ``int16_to_float`` on every int16."""
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)


def int16_to_float(samples: NDArray[np.int16]) -> Float32:
    """int16 to float32 in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768.0)
