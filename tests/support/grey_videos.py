"""Videos whose frames encode their number in their brightness."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.media.writer import VideoWriter

SIZE = (64, 48)


def grey(level: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((size[1], size[0], 3), level, np.uint8)


def levels(images: Sequence[np.ndarray]) -> list[int]:
    """The frame numbers of frames that were made with grey(10 * number)."""
    return [round(float(image.mean()) / 10) for image in images]


def write_frames(path: Path, num: int, fps: float | Fraction = 25, audio: np.ndarray | None = None) -> None:
    with VideoWriter(path, fps, SIZE, audio) as writer:
        for number in range(num):
            writer.write(grey(10 * number))
