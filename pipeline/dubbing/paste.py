"""Pastes a generated mouth into its source frame.

Only the lower half of the crop is pasted, in the colour of the surrounding skin, through a soft mask. All other pixels
are unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.crops import CROP_PX, reduced_to_place
from pipeline.faces.roll import rotated
from pipeline.media.image import sample_cubic

Float = NDArray[np.floating]
Pixels = NDArray[np.uint8] | NDArray[np.float32]

MOUTH_TOP = 0.5
"""Share of the crop's height at which pasting begins: the part above is the generator's input (Wav2Lip, sec. 3.4)."""
CENTRE_U, CENTRE_V = 0.5, 0.75
HALF_WIDTH, HALF_HEIGHT = 0.4, 0.25
"""The pasted region in shares of the crop: mouth, chin and inner cheeks, without hair and background."""
ROUNDNESS = 2.6
"""Exponent of the superellipse: 2 is an ellipse, larger values are squarer."""
FEATHER = 0.4
"""Share of the distance from the region's border to its centre over which the mask rises to 1."""
SHARPNESS = -0.75
"""Slope of the cubic at the first neighbour, as in OpenCV. Lanczos gains another 0.4 dB, but rings."""


@dataclass(frozen=True)
class MouthArea:
    """The part of a frame that contains the pasted region, H x W pixels.

    ``window``: its rows and columns in the frame. ``alpha: float32 [H, W, 1]``: the weight of the generated image.
    ``pixels_per_crop_px``: horizontal and vertical size of a pixel of a crop of ``CROP_PX``, in pixels of
    the frame. ``sample`` enlarges an image that covers the whole crop, [S, S, C], to the area: float32 [H, W, C].
    """

    window: tuple[slice, slice]
    alpha: NDArray[np.float32]
    pixels_per_crop_px: tuple[float, float]
    sample: Callable[[Pixels], NDArray[np.float32]]


Refine = Callable[[NDArray[np.float32], NDArray[np.uint8], MouthArea], NDArray[np.float32]]
"""Changes the generated part of an area before it is blended: (generated [H, W, 3], the frame's, area) -> [H, W, 3]."""


def paste_mouth(
    frame: NDArray[np.uint8],
    generated: NDArray[np.uint8],
    box: NDArray[np.float64],
    tint: NDArray[np.float32],
    roll: float = 0.0,
    refine: Refine | None = None,
) -> NDArray[np.uint8]:
    """Blend the mouth of ``generated: uint8 [S, S, 3]`` into ``frame: uint8 [H, W, 3]`` at ``box``.

    ``box`` is ``x0, y0, x1, y1`` in continuous pixels and may extend beyond the frame. ``tint: float32 [3]``, in grey
    levels, is added to the mouth (``SkinTint``). ``roll``: the box is rotated clockwise by it about its centre, in
    degrees. ``refine`` changes the enlarged mouth, such as ``MouthDetail``. Returns a new frame.
    """
    pasted = frame.copy()
    area = mouth_area(box, roll, frame.shape[0], frame.shape[1])
    if area is None:
        return pasted
    drawn = reduced_to_place(generated[None], box[None])[0]
    patch, shown = area.sample(drawn) + tint, frame[area.window]
    if refine is not None:
        patch = refine(patch, shown, area)
    mixed = np.clip(patch, 0, 255)
    mixed -= shown
    mixed *= np.repeat(area.alpha, 3, axis=2)  # a broadcast over the last axis is slow
    mixed += shown  # where alpha is 0, the pixels of the frame
    pasted[area.window] = np.rint(mixed, out=mixed)
    return pasted


def mouth_area(box: NDArray[np.float64], roll: float, height: int, width: int) -> MouthArea | None:
    """The area of a crop's mouth in a frame of ``height`` x ``width`` pixels; None if it lies outside the frame.

    ``box: float64 [4]`` and ``roll`` as in `paste_mouth`.
    """
    return _upright_area(box, height, width) if roll == 0 else _rolled_area(box, roll, height, width)


def _upright_area(box: NDArray[np.float64], height: int, width: int) -> MouthArea | None:
    x0, y0, x1, y1 = (float(v) for v in box)
    columns = _pixels_between(x0, x1, width)
    rows = _pixels_between(y0 + MOUTH_TOP * (y1 - y0), y1, height)
    if columns.size == 0 or rows.size == 0:
        return None
    u, v = (columns + 0.5 - x0) / (x1 - x0), (rows + 0.5 - y0) / (y1 - y0)
    alpha = mouth_mask(u, v)[..., None]
    return MouthArea(_window(rows, columns), alpha, _scale(box), lambda image: _resample(image, u, v))


def _rolled_area(box: NDArray[np.float64], roll: float, height: int, width: int) -> MouthArea | None:
    centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    corners = box[:2] + np.array([(0, MOUTH_TOP), (1, MOUTH_TOP), (0, 1), (1, 1)]) * sides
    corners = rotated(corners, centre, roll)
    columns = _pixels_between(corners[:, 0].min(), corners[:, 0].max(), width)
    rows = _pixels_between(corners[:, 1].min(), corners[:, 1].max(), height)
    if columns.size == 0 or rows.size == 0:
        return None
    pixels = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), axis=-1)
    u, v = np.moveaxis((rotated(pixels, centre, -roll) - box[:2]) / sides, -1, 0)
    across, down = np.abs((u - CENTRE_U) / HALF_WIDTH), np.abs((v - CENTRE_V) / HALF_HEIGHT)
    alpha = _mask_at(down**ROUNDNESS + across**ROUNDNESS)[..., None]

    def sample(image: Pixels) -> NDArray[np.float32]:
        size = image.shape[0]
        return sample_cubic(image, u * size - 0.5, v * size - 0.5).reshape(*u.shape, image.shape[2])

    return MouthArea(_window(rows, columns), alpha, _scale(box), sample)


def _window(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[slice, slice]:
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _scale(box: NDArray[np.float64]) -> tuple[float, float]:
    return float(box[2] - box[0]) / CROP_PX, float(box[3] - box[1]) / CROP_PX


def mouth_mask(u: Float, v: Float) -> NDArray[np.float32]:
    """Weight 0..1 of the generated image at crop coordinates ``u [W]``, ``v [H]`` in 0..1: float32 [H, W].

    A superellipse in the lower half of the crop: 0 on its border and outside, 1 in the middle, smooth in between.
    """
    across = (np.abs((u - CENTRE_U) / HALF_WIDTH) ** ROUNDNESS).astype(np.float32)
    down = (np.abs((v - CENTRE_V) / HALF_HEIGHT) ** ROUNDNESS).astype(np.float32)
    return _mask_at(np.add.outer(down, across))


def _mask_at(power: Float) -> NDArray[np.float32]:
    """The mask where the radius to the power of ``ROUNDNESS`` is ``power``: 1 is the border. Read from a table."""
    table = _mask_table()
    steps = np.minimum(power * np.float32(len(table) - 1) + np.float32(0.5), np.float32(len(table) - 1))
    return table[steps.astype(np.int32)]


@lru_cache(maxsize=1)
def _mask_table() -> NDArray[np.float32]:
    """The mask at evenly spaced powers of 0..1: float32 [4097]. Its steps are below 0.001."""
    radius = np.linspace(0, 1, 4097) ** (1 / ROUNDNESS)
    return _smooth_step((1 - radius) / FEATHER).astype(np.float32)


def _smooth_step(t: Float) -> Float:
    """Smooth step from 0 at t <= 0 to 1 at t >= 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _pixels_between(start: float, stop: float, limit: int) -> NDArray[np.int64]:
    """Indices of the pixels whose centre lies in [start, stop) and within the frame."""
    return np.arange(max(0, math.ceil(start - 0.5)), min(limit, math.ceil(stop - 0.5)))


def _resample(image: Pixels, u: Float, v: Float) -> NDArray[np.float32]:
    """Bicubic samples of ``image: [S, S, C]`` on the grid ``v`` x ``u``: float32 [H, W, C], not clipped."""
    num_channels = image.shape[2]
    across, down = _weights(u, image.shape[1]), _weights(v, image.shape[0])
    used = np.flatnonzero(down.any(axis=0))
    rows = slice(used[0], used[-1] + 1)
    columns_first = np.ascontiguousarray(image[rows].swapaxes(0, 1), np.float32).reshape(image.shape[1], -1)
    half_way = (across @ columns_first).reshape(len(u), -1, num_channels).swapaxes(0, 1)
    sampled = down[:, rows] @ np.ascontiguousarray(half_way).reshape(half_way.shape[0], -1)
    return np.asarray(sampled.reshape(len(v), len(u), num_channels))


def _weights(where: Float, size: int) -> NDArray[np.float32]:
    """Matrix [N, size] of cubic convolution (Keys 1981); the outer pixels are repeated beyond the border."""
    position = np.clip(where * size - 0.5, 0, size - 1)
    first = np.floor(position).astype(np.int64)
    d = np.abs((position - first)[:, None] - np.arange(-1, 3))
    near = ((SHARPNESS + 2) * d - (SHARPNESS + 3)) * d * d + 1
    far = SHARPNESS * (((d - 5) * d + 8) * d - 4)
    taps = np.zeros((len(position), size + 3), np.float32)  # the columns of the pixels -1 to size + 1
    taps[np.arange(len(position))[:, None], first[:, None] + np.arange(4)] = np.where(d < 1, near, far)
    taps[:, 1] += taps[:, 0]
    taps[:, size] += taps[:, size + 1]
    return taps[:, 1 : size + 1]
