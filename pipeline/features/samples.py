"""Audio samples: conversions between int16 and float, and overlapping frames of a signal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
PRE_EMPHASIS = 0.97

_ROWS_AT_ONCE = 4096  # spectra computed at once; bounds the memory for long audio


def overlapping_frames(signal: NDArray[Any], size: int, hop: int) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Overlapping frames of a signal [n], in blocks: a slice of rows and their frames ``[rows, size]`` (read-only)."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[::hop]
    for start in range(0, len(frames), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(frames)))
        yield rows, frames[rows]


def float_to_int16(samples: Float32) -> NDArray[np.int16]:
    """float32 in [-1, 1] to int16: scale by 32768, round, clip. Inverse of ``int16_to_float``."""
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16)


def int16_to_float(samples: NDArray[np.int16]) -> Float32:
    """int16 to float32 in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768.0)
