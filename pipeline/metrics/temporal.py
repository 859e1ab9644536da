"""Temporal steadiness of generated mouths.

FID looks at frames one by one, so a model whose mouth trembles scores as well under it as a steady one.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import ClipTooShortError

MIN_FRAMES = 3


def mouth_jitter(frames: NDArray[Any]) -> float:
    """Mean |x[t-1] - 2 x[t] + x[t+1]| over the lower half's pixels, channels and inner frames, in grey levels.

    ``frames``: uint8 or float [N, H, W, C] in 0..255, face crops of one clip. A still or evenly changing picture
    gives 0, one that alternates between a and b gives 2 |a - b|. Raises ClipTooShortError below 3 frames.
    """
    if len(frames) < MIN_FRAMES:
        raise ClipTooShortError(f"jitter needs {MIN_FRAMES} frames, the clip has {len(frames)}")
    lower = frames[:, frames.shape[1] // 2 :]
    total = 0.0
    for before, now, after in zip(lower, lower[1:], lower[2:], strict=False):
        second = before.astype(np.float64) - 2.0 * now.astype(np.float64) + after.astype(np.float64)
        total += float(np.abs(second).mean())
    return total / (len(frames) - 2)


def mouth_motion(frames: NDArray[Any]) -> float:
    """Mean |x[t] - x[t-1]| over the lower half's pixels and channels, in grey levels; arguments as ``mouth_jitter``."""
    if len(frames) < 2:
        raise ClipTooShortError(f"motion needs 2 frames, the clip has {len(frames)}")
    lower = frames[:, frames.shape[1] // 2 :]
    steps = (np.abs(now.astype(np.float64) - before).mean() for before, now in itertools.pairwise(lower))
    return float(sum(steps)) / (len(frames) - 1)
