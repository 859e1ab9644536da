"""Changes to faces and sound that leave it true which belong together. Images are uint8 BGR.

Legend: K windows, T frames, H W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.media.image import blur, moved

MAX_BLUR_PX = 2.0
"""Standard deviation of the strongest blur that the expert trains on."""
MAX_TURN_DEGREES, MAX_GROWTH, MAX_SHIFT_PX = 6.0, 0.08, 4.0
MAX_NOISE, MAX_MASKED_BINS, MAX_MASKED_STEPS = 0.4, 16, 2
"""Of a mel window of 80 x 16: noise's standard deviation in mel units, and how much of it one mask hides."""


def augment_faces(windows: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """``uint8 [K, T, H, W, 3]``: mirror, contrast, brightness and tint, constant over each window's frames."""
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
    """``uint8 [K, T, H, W, 3]``: loss of colour, blur and noise, as strong in each of a window's frames.

    What a generator draws is softer than video and off in colour. An expert that has seen only video takes such
    faces for whatever they happen to resemble, and its gradient paints lips red instead of moving them.
    """
    out = np.empty_like(windows)
    for index, window in enumerate(windows):
        grey = window.mean(axis=-1, keepdims=True, dtype=np.float32)
        faded = grey + np.float32(rng.uniform(0, 1.2)) * (window - grey)
        noise = rng.integers(-128, 128, window.shape, dtype=np.int8) * np.float32(rng.uniform(0, 12) / 128)
        faded = blur(faded, rng.uniform(0, MAX_BLUR_PX)) + noise
        out[index] = np.clip(faded, 0, 255).astype(np.uint8)
    return out


def augment_mel(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """``float32 [K, ..., 80, 16]``: one loudness for each of K, up to 6 dB either way (8 units span 100 dB)."""
    return louder(mel, draw_gains(rng, len(mel)).reshape(-1, *[1] * (mel.ndim - 1)))


def draw_gains(rng: np.random.Generator, num: int) -> NDArray[np.float32]:
    """Up to 6 dB either way, in mel units: float32 [num]."""
    return rng.uniform(-0.5, 0.5, size=num).astype(np.float32)


def louder(mel: NDArray[np.float32], gain: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Mel of any shape by a gain in mel units, within [-4, 4]."""
    return np.clip(mel + gain, -4.0, 4.0)


def move_faces(windows: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """``uint8 [K, T, H, W, 3]``: turned, grown and shifted a little, one draw for each window's frames.

    A network that knows few speakers remembers where their mouths are.
    """
    out = np.empty_like(windows)
    for index, window in enumerate(windows):
        turn, growth = rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES), 1 + rng.uniform(-MAX_GROWTH, MAX_GROWTH)
        shift = rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, size=2)
        out[index] = moved(window, turn, growth, (float(shift[0]), float(shift[1])))
    return out


def mask_mel(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """``float32 [K, 80, 16]``: noise, and a band of bins and some steps at the window's mean (Park et al. 2019)."""
    out = mel + rng.normal(size=mel.shape).astype(np.float32) * rng.uniform(0, MAX_NOISE, (len(mel), 1, 1))
    for window in out:
        num_bins, num_steps = rng.integers(0, MAX_MASKED_BINS + 1), rng.integers(0, MAX_MASKED_STEPS + 1)
        first_bin = rng.integers(0, window.shape[0] - num_bins + 1)
        first_step = rng.integers(0, window.shape[1] - num_steps + 1)
        mean = window.mean()
        window[first_bin : first_bin + num_bins] = mean
        window[:, first_step : first_step + num_steps] = mean
    return np.clip(out, -4.0, 4.0).astype(np.float32)
