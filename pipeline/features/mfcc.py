"""MFCC: the audio input of the evaluator (Chung and Zisserman 2016, "Out of time") and of Speech2Vid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.features.samples import PRE_EMPHASIS, Float32, overlapping_frames

NUM_CEPSTRA = 13

_MFCC_FRAME_SAMPLES, _MFCC_HOP_SAMPLES, _MFCC_FFT = 400, 160, 512
_MFCC_FILTERS, _MFCC_LIFTER = 26, 22
_WARP_KNEE_HZ = 4800.0


def mfcc(samples: NDArray[np.int16], warp: float = 1.0) -> Float32:
    """MFCC of the evaluator, ``float32 [frames, 13]``, of 16 kHz mono ``int16 [n]``.

    Computed with the defaults of python_speech_features on int16 values: pre-emphasis 0.97, 25 ms rectangular frames
    every 10 ms, 26 triangular filters in 0-8000 Hz on a 512-point power spectrum, orthonormal DCT-II, lifter 22, and
    the log energy as coefficient 0. ``warp`` scales the frequencies of the filters, as another length of the speaker's
    vocal tract would (Jaitly and Hinton 2013). Raises ValueError for another dtype or shape.
    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"mfcc needs int16 [n] samples, got {samples.dtype} {samples.shape}")
    signal = samples.astype(np.float64)
    signal[1:] -= PRE_EMPHASIS * samples[:-1]
    excess = max(0, len(signal) - _MFCC_FRAME_SAMPLES)
    num_frames = 1 + -(-excess // _MFCC_HOP_SAMPLES)
    length = (num_frames - 1) * _MFCC_HOP_SAMPLES + _MFCC_FRAME_SAMPLES
    padded = np.pad(signal, (0, length - len(signal)))
    bank, dct = _mfcc_filterbank(warp).T, _lifted_dct()
    smallest = np.finfo(np.float64).eps  # replaces zero before the logarithm
    cepstra = np.empty((num_frames, NUM_CEPSTRA), np.float32)
    for rows, frames in overlapping_frames(padded, _MFCC_FRAME_SAMPLES, _MFCC_HOP_SAMPLES):
        power = np.abs(np.fft.rfft(frames, _MFCC_FFT, axis=1)) ** 2 / _MFCC_FFT
        bands, energy = power @ bank, power.sum(axis=1)
        cepstra[rows] = np.log(np.where(bands == 0, smallest, bands)) @ dct
        cepstra[rows, 0] = np.log(np.where(energy == 0, smallest, energy))
    return cepstra


@lru_cache(maxsize=64)
def _mfcc_filterbank(warp: float) -> NDArray[np.float64]:
    """Triangular filters ``float64 [26, 257]`` with edges at whole FFT bins, equally spaced in 2595 log10 mel.

    ``warp`` multiplies the frequencies up to about 4800 Hz. Those above are moved so that 8000 Hz stays in place.
    """
    top = 2595.0 * np.log10(1.0 + (SAMPLE_RATE_HZ / 2) / 700.0)
    hz = 700.0 * (10.0 ** (np.linspace(0.0, top, _MFCC_FILTERS + 2) / 2595.0) - 1.0)
    edges = np.floor((_MFCC_FFT + 1) * _warped(hz, warp) / SAMPLE_RATE_HZ)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(_MFCC_FFT // 2 + 1)[None, :]
    rising = np.where((bins >= low) & (bins < centre), (bins - low) / (centre - low), 0.0)
    falling = np.where((bins >= centre) & (bins < high), (high - bins) / (high - centre), 0.0)
    return rising + falling


def _warped(hz: NDArray[np.float64], warp: float) -> NDArray[np.float64]:
    if warp == 1:
        return hz
    top, knee = SAMPLE_RATE_HZ / 2, _WARP_KNEE_HZ * min(warp, 1.0)
    slope = (top - knee) / (top - knee / warp)
    return np.where(hz <= knee / warp, hz * warp, top - slope * (top - hz))


@lru_cache(maxsize=1)
def _lifted_dct() -> NDArray[np.float64]:
    """Orthonormal DCT-II of 26 bands to 13 cepstra, scaled by the sine lifter: ``float64 [26, 13]``."""
    bands = np.arange(_MFCC_FILTERS)[:, None]
    order = np.arange(NUM_CEPSTRA)[None, :]
    basis = np.cos(np.pi * order * (2 * bands + 1) / (2 * _MFCC_FILTERS))
    basis *= np.sqrt(np.where(order == 0, 1.0, 2.0) / _MFCC_FILTERS)
    return basis * (1.0 + _MFCC_LIFTER / 2 * np.sin(np.pi * order / _MFCC_LIFTER))
