"""Whole short clips at once, which only tests want: the pipeline streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.crops import Cropper
from pipeline.media.video import iter_frames


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
