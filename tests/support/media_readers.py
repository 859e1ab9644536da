"""Functions for tests that read a media file in one call. The pipeline keeps files open and streams."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.crops import Cropper
from pipeline.media.file import MediaFile
from pipeline.media.header import Display, Header
from pipeline.media.video import TimedFrame


def header_of(path: str | Path) -> Header:
    with MediaFile(path) as media:
        return media.header


def display_of(path: str | Path) -> Display:
    with MediaFile(path) as media:
        return media.display


def read_samples(path: str | Path) -> NDArray[np.float32]:
    """The sound of a file at 16 kHz, mono: float32 [n]."""
    with MediaFile(path) as media:
        return media.samples()


def read_native_samples(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """The sound of a file at its own rate: float32 [n, channels], and the rate in Hz."""
    with MediaFile(path) as media:
        blocks = list(media.sound())
    return np.concatenate([block.samples for block in blocks]), blocks[0].rate_hz


def sound_format_of(path: str | Path) -> tuple[int, int]:
    """Sample rate in Hz and number of channels of a file's sound."""
    with MediaFile(path) as media:
        first = next(media.sound())
    return first.rate_hz, first.samples.shape[1]


def iter_frames(
    path: str | Path, fps: float | Fraction | None = None, *, square_pixels: bool = False
) -> Iterator[TimedFrame]:
    with MediaFile(path) as media:
        yield from media.frames(fps, square_pixels=square_pixels)


def read_frames(path: str | Path, fps: float | None = 25.0) -> NDArray[np.uint8]:
    """A video's frames at ``fps`` (None: its own): uint8 [N, H, W, 3] BGR."""
    return np.stack([frame.image for frame in iter_frames(path, fps)])


def crop_frames(frames: NDArray[np.uint8], boxes: NDArray[np.float64], size_px: int) -> NDArray[np.uint8]:
    """All crops of a short clip: uint8 [N, H, W, 3] -> uint8 [N, size_px, size_px, 3]."""
    crops = np.empty((len(frames), size_px, size_px, 3), np.uint8)
    cut = Cropper(boxes, size_px)
    for index, frame in enumerate(frames):
        crops[index] = cut(frame, index)
    return crops
