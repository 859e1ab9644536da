"""Mel spectrogram: the audio input of the expert and the generators (Prajwal et al. 2020, "Wav2Lip")."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pipeline.features.alignment import MEL_HOP_SAMPLES, MEL_SILENCE, NUM_MELS, SAMPLE_RATE_HZ
from pipeline.features.samples import PRE_EMPHASIS, Float32, overlapping_frames

_FFT_SAMPLES = 800
_MEL_MIN_HZ, _MEL_MAX_HZ = 55.0, 7600.0
_MIN_DB, _REFERENCE_DB = -100.0, 20.0


def mel_spectrogram(samples: Float32) -> Float32:
    """Log mel spectrogram, ``float32 [1 + n // 200, 80] in [-4, 4]``, of 16 kHz mono ``float32 [n]``.

    Computed as in Wav2Lip: pre-emphasis 0.97, centred 50 ms Hann windows every 12.5 ms (reflected at the ends), 80
    Slaney mel bands in 55-7600 Hz, dB mapped from [-100, 0] to [-4, 4]. Column k is centred at 12.5 k ms. Silence is
    -4 in all bands. Raises ValueError for samples that are not mono [n] or not finite.
    """
    samples = _mono_finite(samples)
    num_columns = 1 + len(samples) // MEL_HOP_SAMPLES
    if len(samples) < 2:  # too short to reflect
        return np.full((num_columns, NUM_MELS), MEL_SILENCE, np.float32)
    emphasised = samples.copy()
    emphasised[1:] -= np.float32(PRE_EMPHASIS) * samples[:-1]
    padded = np.pad(emphasised, _FFT_SAMPLES // 2, mode="reflect")
    ramp = 2.0 * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES
    window = (0.5 - 0.5 * np.cos(ramp)).astype(np.float32)
    bank = mel_filterbank().T
    mel = np.empty((num_columns, NUM_MELS), np.float32)
    for rows, frames in overlapping_frames(padded, _FFT_SAMPLES, MEL_HOP_SAMPLES):
        mel[rows] = np.abs(np.fft.rfft(frames * window, axis=1)).astype(np.float32) @ bank
    decibels = 20.0 * np.log10(np.maximum(1e-5, mel)) - _REFERENCE_DB
    scaled = 8.0 * (decibels - _MIN_DB) / -_MIN_DB - 4.0
    return np.clip(scaled, -4.0, 4.0).astype(np.float32)


def _mono_finite(samples: Float32) -> Float32:
    if samples.ndim != 1:
        raise ValueError(f"mel_spectrogram needs mono [n] samples, got shape {samples.shape}")
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise ValueError("the audio samples hold NaN or infinity; repair or reject this audio")
    return samples


@lru_cache(maxsize=1)
def mel_filterbank() -> Float32:
    """Triangular filters ``float32 [80, 401]``, Slaney scale and area norm (Auditory Toolbox)."""
    from librosa.filters import mel  # the import takes over a second

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
