"""Temporal stability of generated mouths.

FID compares single frames, so it does not distinguish a mouth that jitters from a stable one.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from pipeline.core.errors import DataError
from pipeline.metrics import ClipTooShortError

MIN_FRAMES = 3


def mouth_jitter(frames: NDArray[Any]) -> float:
    """Mean |x[t-1] - 2 x[t] + x[t+1]| over the lower half's pixels, channels and inner frames, in grey levels.

    ``frames``: uint8 or float [N, H, W, C] in 0..255, face crops of one clip. A still or linearly changing image gives
    0, one that alternates between a and b gives 2 |a - b|. Raises ClipTooShortError for fewer than 3 frames.
    """
    if len(frames) < MIN_FRAMES:
        raise ClipTooShortError(f"jitter needs at least {MIN_FRAMES} frames, the clip has {len(frames)}")
    lower = frames[:, frames.shape[1] // 2 :]
    total = 0.0
    for before, now, after in zip(lower, lower[1:], lower[2:], strict=False):
        second = before.astype(np.float64) - 2.0 * now.astype(np.float64) + after.astype(np.float64)
        total += float(np.abs(second).mean())
    return total / (len(frames) - 2)


def mouth_motion(frames: NDArray[Any]) -> float:
    """Mean |x[t] - x[t-1]| over the lower half's pixels and channels, in grey levels.

    ``frames`` as for ``mouth_jitter``. Raises ClipTooShortError for fewer than 2 frames.
    """
    if len(frames) < 2:
        raise ClipTooShortError(f"motion needs at least 2 frames, the clip has {len(frames)}")
    lower = frames[:, frames.shape[1] // 2 :]
    steps = (np.abs(now.astype(np.float64) - before).mean() for before, now in itertools.pairwise(lower))
    return float(sum(steps)) / (len(frames) - 1)


def warping_error(frames: NDArray[Any], flows: NDArray[np.floating], is_visible: NDArray[np.bool_]) -> float:
    """Mean |x[t] - warped x[t-1]| over the lower half's visible pixels and channels, in grey levels.

    After Lai et al. 2018, who use squares. ``frames`` as for ``mouth_jitter``. ``flows: float [N - 1, H, W, 2]``:
    backward flow in pixels, x and y; the content of a pixel of frame t is at this displacement in frame t - 1, bilinear
    between pixels. ``is_visible: bool [N - 1, H, W]``: whether it is visible there. Raises ClipTooShortError for fewer
    than 2 frames and DataError if no pixel of the lower half is visible.
    """
    if len(frames) < 2:
        raise ClipTooShortError(f"warping needs at least 2 frames, the clip has {len(frames)}")
    middle = frames.shape[1] // 2
    rows, columns = np.indices(frames.shape[1:3], dtype=np.float64)
    total, num_visible = 0.0, 0
    for (before, now), flow, visible in zip(itertools.pairwise(frames), flows, is_visible, strict=True):
        places = np.stack([rows + flow[..., 1], columns + flow[..., 0]])[:, middle:]
        moved = np.stack([_sampled(channel, places) for channel in np.moveaxis(before, -1, 0)], axis=-1)
        errors = np.abs(now[middle:] - moved).mean(axis=-1)
        total += float(errors[visible[middle:]].sum())
        num_visible += int(visible[middle:].sum())
    if not num_visible:
        raise DataError("no pixel of the lower half is visible in two consecutive frames")
    return total / num_visible


def _sampled(channel: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of one channel [H, W] at rows and columns float64 [2, h, w]; the border is repeated outside."""
    values: NDArray[np.float64] = map_coordinates(channel.astype(np.float64), places, order=1, mode="nearest")
    return values
