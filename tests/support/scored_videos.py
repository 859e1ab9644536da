"""Videos of a drawn head with sound, for pairing and scoring."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.media.writer import VideoWriter
from tests.support.drawn_face import FPS, draw_face

NUM_FRAMES = 40
SQUARE = Fraction(1)
LIP_METRICS = {f"{of}{name}" for of in ("", "real_") for name in ("opening_correlation", "pause_motion_px")}
Frames = list[NDArray[np.uint8]]


def swaying_head(num: int = NUM_FRAMES) -> Frames:
    return [draw_face(80 + 6 * np.sin(k / 8), 80) for k in range(num)]


def write_video(
    path: Path, frames: Frames, seed: int = 0, loudness: float = 0.1, fps: int = FPS, pixel_aspect: Fraction = SQUARE
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(seed).normal(0, loudness, round(16_000 * len(frames) / fps)).astype(np.float32)
    height, width = frames[0].shape[:2]
    with VideoWriter(path, fps, (width, height), sound, match="video", pixel_aspect=pixel_aspect) as writer:
        for frame in frames:
            writer.write(frame)
