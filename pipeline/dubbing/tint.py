"""Colour of the generated skin relative to the source's, from skin alone.

A generator renders unknown speakers in the colours of its training speakers, and the background, too. Around the mouth
a crop shows hair, collar and background: their colours say nothing about the skin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.paste import mouth_mask
from pipeline.faces.crops import CROP_PX
from pipeline.faces.roll import rotated
from pipeline.media.image import to_lab

CHEEKS_U, CHEEKS_V = (0.3, 0.7), (0.42, 0.62)
"""Part of the crop that shows cheeks and nose, in shares of its sides; its median is the colour of the skin."""
MIN_ALPHA, CORE_ALPHA = 0.03, 0.92
"""Colours are compared where the mask exceeds the first; where it exceeds the second there is hardly any background."""
MAX_DISTANCE = 16.0
"""Largest distance of skin to the colour of the skin, in CIE Lab."""
LIGHTNESS_WEIGHT = 0.4
"""Weight of lightness in this distance: shading changes it more than the colour."""
_LAB_WEIGHTS = np.array([LIGHTNESS_WEIGHT, 1, 1], np.float32)
BESIDE_U, BESIDE_V = (0.12, 0.34), (0.58, 0.88)
"""Skin to the left of the mouth, in shares of the crop's sides; the right is its mirror image."""
MIN_SKIN_PX, MIN_BESIDE_PX = 60, 20
"""A crop with less skin to compare has no tint of its own; a side of the mouth with less does not limit it.

Numbers of pixels in a crop of 96 px; for other sizes they are scaled.
"""
AVERAGED_S = 0.2
"""Time over which the tint is averaged, s."""


class SkinTint:
    """Tints of the frames of a video, in order: what to add to the generated mouth so that its skin is the source's.

    The tint is a running average within a shot. It is 0 until skin is seen.
    """

    def __init__(self, fps: float) -> None:
        self._keep = math.exp(-1 / (AVERAGED_S * fps))
        self._sum, self._weight = np.zeros(3), 0.0

    def __call__(
        self, crop: NDArray[np.uint8], generated: NDArray[np.uint8], inside: NDArray[np.bool_], begins_shot: bool
    ) -> NDArray[np.float32]:
        """Tint, float32 [3] in grey levels, for a crop of the source, which may begin a shot, and the generated crop.

        Both are uint8 [S, S, 3] BGR. ``inside: bool [S, S]`` are the pixels of the crop that lie in the frame.
        """
        if begins_shot:
            self._sum, self._weight = np.zeros(3), 0.0
        tint, num_px = skin_difference(crop, generated, inside)
        self._sum, self._weight = self._keep * self._sum + num_px * tint, self._keep * self._weight + num_px
        return (self._sum / max(self._weight, 1e-9)).astype(np.float32)


def skin_difference(
    crop: NDArray[np.uint8], generated: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], int]:
    """Median of ``crop - generated`` over the skin around the mouth, float64 [3], and the number of its pixels.

    Skin are the pixels with the colour of the cheeks in the crop, and with their own typical colour in the generated
    crop; those whose difference is far from the others' do not count. Where the two sides of the mouth differ, the
    result is scaled down so that it enlarges the difference of neither. Zeros and 0 if there is too little skin.
    """
    none = np.zeros(3), 0
    regions = _regions(crop.shape[0])
    crop, generated, inside = crop[regions.window], generated[regions.window], inside[regions.window]
    shown, drawn = to_lab(crop), to_lab(generated)
    is_cheek = inside & regions.cheeks
    if not is_cheek.any():
        return none
    is_shown = inside & regions.around & _is_near(shown, shown[is_cheek])
    is_core = is_shown & regions.core
    is_skin = is_shown & _is_near(drawn, drawn[is_core]) if is_core.any() else is_shown
    scale = (regions.size_px / CROP_PX) ** 2
    if np.count_nonzero(is_skin) < MIN_SKIN_PX * scale:
        return none
    differences = crop.astype(np.float32) - generated
    of_skin = differences[is_skin]
    distances = np.abs(of_skin - _medians(of_skin)).max(axis=1)
    usual = of_skin[distances <= 3 * _medians(distances[:, None])[0] + 4]
    tint = _medians(usual)
    beside = [differences[is_skin & side] for side in regions.sides]
    wanted = [_medians(side) for side in beside if len(side) >= MIN_BESIDE_PX * scale]
    return tint * _share(tint, wanted), len(usual)


def _medians(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Median of each column of ``float32 [n, k]``: float64 [k]. Several times as fast as `numpy.median`."""
    middle = len(values) // 2
    kth = (middle - 1, middle) if len(values) % 2 == 0 else (middle,)
    ordered = np.partition(np.ascontiguousarray(values.T), kth, axis=1)
    return np.asarray(ordered[:, kth].mean(axis=1, dtype=np.float64))


def _share(tint: NDArray[np.float64], wanted: Sequence[NDArray[np.float64]]) -> float:
    """Largest share of the tint, 0..1, that goes beyond none of the ``wanted`` ones in its own direction."""
    square = float(tint @ tint)
    return min([1.0, *(max(0.0, float(side @ tint) / square) for side in wanted)]) if square else 1.0


def _is_near(image: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels of ``image: [S, S, 3]`` near the median of ``samples: [n, 3]``, both in Lab: bool [S, S]."""
    away = (image - _medians(samples).astype(np.float32)) * _LAB_WEIGHTS
    near: NDArray[np.bool_] = np.einsum("hwc,hwc->hw", away, away) < MAX_DISTANCE**2
    return near


class _Regions(NamedTuple):
    """Parts of a crop of S = ``size_px``: the cheeks, the pasted region, its core, and both sides of the mouth.

    Each is bool [h, w] in ``window``, the rows and columns of the crop that contain all of them.
    """

    size_px: int
    window: tuple[slice, slice]
    cheeks: NDArray[np.bool_]
    around: NDArray[np.bool_]
    core: NDArray[np.bool_]
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]]


@lru_cache(maxsize=2)
def _regions(size_px: int) -> _Regions:
    places = (np.arange(size_px) + 0.5) / size_px

    def rectangle(u: tuple[float, float], v: tuple[float, float]) -> NDArray[np.bool_]:
        across, down = ((low < places) & (places < high) for low, high in (u, v))
        return np.logical_and.outer(down, across)

    alpha = mouth_mask(places, places)
    left = rectangle(BESIDE_U, BESIDE_V)
    masks = rectangle(CHEEKS_U, CHEEKS_V), alpha > MIN_ALPHA, alpha > CORE_ALPHA, left, left[:, ::-1]
    rows, columns = (np.flatnonzero(np.any(masks, axis=(0, axis))) for axis in (2, 1))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    cheeks, around, core, *sides = (mask[window] for mask in masks)
    return _Regions(size_px, window, cheeks, around, core, (sides[0], sides[1]))


def pixels_inside(
    box: NDArray[np.float64], height: int, width: int, size_px: int, roll: float = 0.0
) -> NDArray[np.bool_]:
    """Pixels of the crop at ``box``, rotated by ``roll`` degrees, whose centre lies in a frame of this size.

    bool [size_px, size_px].
    """
    places = (np.arange(size_px) + 0.5) / size_px
    x, y = (box[k] + places * (box[k + 2] - box[k]) for k in (0, 1))
    if roll == 0:
        return np.logical_and.outer((y >= 0) & (y < height), (x >= 0) & (x < width))
    across, down = np.meshgrid(x, y)
    points = rotated(np.stack([across, down], axis=-1), (box[:2] + box[2:]) / 2, roll)
    return np.asarray(((points >= 0) & (points < (width, height))).all(axis=-1))
