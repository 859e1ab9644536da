"""Augmentation of faces and audio that preserves their synchronisation. Images are uint8 BGR.

Legend: K windows, T frames, H W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_BLUR_PX = 2.0
"""Largest standard deviation of the blur in the expert's training."""
MAX_TURN_DEGREES, MAX_GROWTH, MAX_SHIFT_PX = 6.0, 0.08, 4.0
MAX_NOISE, MAX_MASKED_BINS, MAX_MASKED_STEPS = 0.4, 16, 2
"""For a mel window of 80 x 16: largest standard deviation of the noise in mel units, and largest size of the masks."""


def augment_faces(windows: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random mirroring, contrast, brightness and tint, constant within each window: uint8 [K, T, H, W, 3]."""
    out = np.empty_like(windows)
    for index, window in enumerate(windows):
        if rng.random() < 0.5:
            window = window[:, :, ::-1]
        gain = rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, size=3)
        table = np.clip(np.arange(256)[:, None] * gain + rng.uniform(-25, 25), 0, 255).astype(np.uint8)
        for channel in range(3):
            out[index, ..., channel] = table[window[..., channel], channel]
    return out


def degrade_faces(windows: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random desaturation, blur and noise, of constant strength within each window: uint8 [K, T, H, W, 3].

    Generated faces are blurrier than video, and their colours differ. The similarities of an expert trained on video
    only are arbitrary for such faces, and its gradient then makes the lips red instead of moving them.
    """
    from pipeline.media.image import blur_each  # here, because generators train without OpenCV

    out = np.empty_like(windows)
    for index, window in enumerate(windows):
        grey = window.mean(axis=-1, keepdims=True, dtype=np.float32)
        faded = grey + np.float32(rng.uniform(0, 1.2)) * (window - grey)
        noise = rng.integers(-128, 128, window.shape, dtype=np.int8) * np.float32(rng.uniform(0, 12) / 128)
        faded = blur_each(faded, rng.uniform(0, MAX_BLUR_PX)) + noise
        out[index] = np.clip(faded, 0, 255).astype(np.uint8)
    return out


def augment_mel(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Random gain of up to 6 dB up or down per window: float32 [K, ..., 80, 16] (8 mel units span 100 dB)."""
    return louder(mel, draw_gains(rng, len(mel)).reshape(-1, *[1] * (mel.ndim - 1)))


def draw_gains(rng: np.random.Generator, num: int) -> NDArray[np.float32]:
    """Random gains of up to 6 dB up or down, in mel units: float32 [num]."""
    return rng.uniform(-0.5, 0.5, size=num).astype(np.float32)


def louder(mel: NDArray[np.float32], gain: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Mel plus a gain in mel units, clipped to [-4, 4]. Same shape as ``mel``."""
    return np.clip(mel + gain, -4.0, 4.0)


def move_faces(windows: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Small random rotation, scaling and shift, constant within each window: uint8 [K, T, H, W, 3].

    Without it, a network trained on few speakers memorises the positions of their mouths.
    """
    from pipeline.media.image import moved  # here, because generators train without OpenCV

    out = np.empty_like(windows)
    for index, window in enumerate(windows):
        turn, growth = rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES), 1 + rng.uniform(-MAX_GROWTH, MAX_GROWTH)
        shift = rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, size=2)
        out[index] = moved(window, turn, growth, (float(shift[0]), float(shift[1])))
    return out


def mask_mel(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise, and one band of bins and one span of steps set to the window's mean: float32 [K, 80, 16].

    The masks follow SpecAugment (Park et al. 2019).
    """
    out = mel + rng.normal(size=mel.shape).astype(np.float32) * rng.uniform(0, MAX_NOISE, (len(mel), 1, 1))
    for window in out:
        num_bins, num_steps = rng.integers(0, MAX_MASKED_BINS + 1), rng.integers(0, MAX_MASKED_STEPS + 1)
        first_bin = rng.integers(0, window.shape[0] - num_bins + 1)
        first_step = rng.integers(0, window.shape[1] - num_steps + 1)
        mean = window.mean()
        window[first_bin : first_bin + num_bins] = mean
        window[:, first_step : first_step + num_steps] = mean
    return np.clip(out, -4.0, 4.0).astype(np.float32)
