"""Synthetic sounds, and sounds with an offset."""

from __future__ import annotations

import numpy as np

RATE = 16_000
SAMPLES_PER_FRAME = 640


def tone(hz: float, seconds: float, rate_hz: int = RATE, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def speech_like(seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    num = round(seconds * RATE)
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(num) / RATE)
    return (0.2 * envelope * rng.normal(size=num)).astype(np.float32)


def early_by(samples: np.ndarray, lead_frames: int) -> np.ndarray:
    """The samples shifted ``lead_frames`` earlier (negative: later) and padded with silence to the same length."""
    moved = np.zeros_like(samples)
    step = SAMPLES_PER_FRAME * abs(lead_frames)
    if lead_frames >= 0:
        moved[: len(samples) - step] = samples[step:]
    else:
        moved[step:] = samples[: len(samples) - step]
    return moved
