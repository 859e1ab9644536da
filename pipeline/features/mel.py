"""Mel spectrogram: the audio input of the expert and the generators (Prajwal et al. 2020, "Wav2Lip")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from pipeline.features.alignment import MEL_HOP_SAMPLES, MEL_SILENCE, NUM_MELS, SAMPLE_RATE_HZ
from pipeline.features.samples import PRE_EMPHASIS, Float32

_FFT_SAMPLES = 800
_MEL_MIN_HZ, _MEL_MAX_HZ = 55.0, 7600.0
_PAD_SAMPLES = _FFT_SAMPLES // 2
_BLOCK_SAMPLES = 4096 * MEL_HOP_SAMPLES  # 4096 columns are computed at once, which bounds the memory
_MIN_DB, _REFERENCE_DB = -100.0, 20.0
_LINEAR_STEP_HZ = 200.0 / 3
_KNEE_HZ, _KNEE_MEL = 1000.0, 1000.0 / _LINEAR_STEP_HZ
_LOG_STEP = float(np.log(6.4)) / 27
"""Slaney's scale: steps of 200/3 Hz up to 1 kHz, then 27 steps up to 6.4 kHz."""


def mel_spectrogram(samples: Float32) -> Float32:
    """Log mel spectrogram, ``float32 [1 + n // 200, 80] in [-4, 4]``, of 16 kHz mono ``float32 [n]``.

    Computed as in Wav2Lip: pre-emphasis 0.97, centred 50 ms Hann windows every 12.5 ms (reflected at the ends), 80
    Slaney mel bands in 55-7600 Hz, dB mapped from [-100, 0] to [-4, 4]. Column k is centred at 12.5 k ms. Silence is
    -4 in all bands. Raises ValueError for samples that are not mono [n] or not finite.
    """
    if samples.ndim != 1:
        raise ValueError(f"mel_spectrogram needs mono [n] samples, got shape {samples.shape}")
    starts = range(0, len(samples), _BLOCK_SAMPLES)
    return np.concatenate(list(mel_blocks(samples[start : start + _BLOCK_SAMPLES] for start in starts)))


def mel_blocks(blocks: Iterable[Float32]) -> Iterator[Float32]:
    """The spectrogram of consecutive blocks ``float32 [n]``, in parts ``float32 [columns, 80]``.

    Together the parts are what ``mel_spectrogram`` returns for the whole. Raises ValueError for NaN and infinity.
    """
    padded, is_begun, last = np.zeros(0, np.float32), False, None
    for block in _joined(blocks):
        padded = np.concatenate([padded, _emphasised(block, last)])
        last = block[-1] if len(block) else last
        if not is_begun and len(padded) > _PAD_SAMPLES:
            padded, is_begun = np.concatenate([padded[_PAD_SAMPLES:0:-1], padded]), True
        while is_begun and len(padded) >= _BLOCK_SAMPLES + _FFT_SAMPLES:
            yield _columns(padded[: _BLOCK_SAMPLES - MEL_HOP_SAMPLES + _FFT_SAMPLES])
            padded = padded[_BLOCK_SAMPLES:]
    if not is_begun and len(padded) < 2:  # too short to reflect
        yield np.full((1, NUM_MELS), MEL_SILENCE, np.float32)
        return
    rest = np.pad(padded, (0 if is_begun else _PAD_SAMPLES, _PAD_SAMPLES), mode="reflect")
    while len(rest) >= _FFT_SAMPLES:
        yield _columns(rest[: _BLOCK_SAMPLES - MEL_HOP_SAMPLES + _FFT_SAMPLES])
        rest = rest[_BLOCK_SAMPLES:]


def _joined(blocks: Iterable[Float32]) -> Iterator[Float32]:
    """The blocks, joined to at least ``_BLOCK_SAMPLES``: many small blocks would be copied over and over."""
    parts: list[Float32] = []
    num_samples = 0
    for block in blocks:
        parts.append(block)
        num_samples += len(block)
        if num_samples >= _BLOCK_SAMPLES:
            yield np.concatenate(parts)
            parts, num_samples = [], 0
    if parts:
        yield np.concatenate(parts)


def _emphasised(block: Float32, previous: np.float32 | None) -> Float32:
    """Pre-emphasis of a block that follows the sample ``previous``."""
    block = block.astype(np.float32, copy=False)
    if not np.isfinite(block).all():
        raise ValueError("the audio samples hold NaN or infinity; repair or reject this audio")
    emphasised = block.copy()
    emphasised[1:] -= np.float32(PRE_EMPHASIS) * block[:-1]
    if previous is not None and len(block):
        emphasised[0] -= np.float32(PRE_EMPHASIS) * previous
    return emphasised


def _columns(padded: Float32) -> Float32:
    """All columns whose windows lie in ``padded: float32 [n]``, in dB mapped to [-4, 4]."""
    ramp = 2.0 * np.pi * np.arange(_FFT_SAMPLES) / _FFT_SAMPLES
    window = (0.5 - 0.5 * np.cos(ramp)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::MEL_HOP_SAMPLES]
    mel = np.abs(np.fft.rfft(frames * window, axis=1)).astype(np.float32) @ mel_filterbank().T
    decibels = 20.0 * np.log10(np.maximum(1e-5, mel)) - _REFERENCE_DB
    scaled = 8.0 * (decibels - _MIN_DB) / -_MIN_DB - 4.0
    return np.clip(scaled, -4.0, 4.0).astype(np.float32)


@lru_cache(maxsize=1)
def mel_filterbank() -> Float32:
    """Triangular filters ``float32 [80, 401]``, Slaney scale and area norm (Auditory Toolbox, Slaney 1998).

    Equal to that of librosa, bit for bit. librosa itself is not used, because its import takes a second.
    """
    mels = np.linspace(_slaney_mel(_MEL_MIN_HZ), _slaney_mel(_MEL_MAX_HZ), NUM_MELS + 2)
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mels - _KNEE_MEL))
    edges_hz = np.where(mels < _KNEE_MEL, _LINEAR_STEP_HZ * mels, above)
    slopes = np.subtract.outer(edges_hz, np.fft.rfftfreq(_FFT_SAMPLES, 1 / SAMPLE_RATE_HZ))
    widths_hz = np.diff(edges_hz)[:, None]
    rising, falling = -slopes[:-2] / widths_hz[:-1], slopes[2:] / widths_hz[1:]
    heights = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    bank = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return (bank * heights[:, None]).astype(np.float32)


def _slaney_mel(hz: float) -> float:
    """Linear up to 1 kHz, logarithmic above."""
    if hz < _KNEE_HZ:
        return hz / _LINEAR_STEP_HZ
    return _KNEE_MEL + float(np.log(hz / _KNEE_HZ)) / _LOG_STEP
