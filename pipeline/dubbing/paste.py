"""Pastes a generated mouth into its source frame.

Only the lower half of the crop is pasted, in the colour of the surrounding skin, through a soft mask. All other pixels
are unchanged.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.roll import rotated
from pipeline.media.image import sample_cubic

Float = NDArray[np.floating]

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


def paste_mouth(
    frame: NDArray[np.uint8],
    generated: NDArray[np.uint8],
    box: NDArray[np.float64],
    tint: NDArray[np.float32],
    roll: float = 0.0,
) -> NDArray[np.uint8]:
    """Blend the mouth of ``generated: uint8 [S, S, 3]`` into ``frame: uint8 [H, W, 3]`` at ``box``.

    ``box`` is ``x0, y0, x1, y1`` in continuous pixels and may extend beyond the frame. ``tint: float32 [3]``, in grey
    levels, is added to the mouth (``SkinTint``). ``roll``: the box is rotated clockwise by it about its centre, in
    degrees. Returns a new frame.
    """
    if roll != 0:
        return _paste_rolled(frame, generated, box, tint, roll)
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in box)
    columns = _pixels_between(x0, x1, width)
    rows = _pixels_between(y0 + MOUTH_TOP * (y1 - y0), y1, height)
    pasted = frame.copy()
    if columns.size == 0 or rows.size == 0:
        return pasted
    u, v = (columns + 0.5 - x0) / (x1 - x0), (rows + 0.5 - y0) / (y1 - y0)
    alpha = mouth_mask(u, v)[..., None]
    patch = _resample(generated, u, v) + tint
    area = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    mixed = alpha * np.clip(patch, 0, 255) + (1 - alpha) * frame[area]
    pasted[area] = np.where(alpha > 0, np.rint(mixed), frame[area]).astype(np.uint8)
    return pasted


def _paste_rolled(
    frame: NDArray[np.uint8],
    generated: NDArray[np.uint8],
    box: NDArray[np.float64],
    tint: NDArray[np.float32],
    roll: float,
) -> NDArray[np.uint8]:
    centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    corners = box[:2] + np.array([(0, MOUTH_TOP), (1, MOUTH_TOP), (0, 1), (1, 1)]) * sides
    corners = rotated(corners, centre, roll)
    pasted = frame.copy()
    columns = _pixels_between(corners[:, 0].min(), corners[:, 0].max(), frame.shape[1])
    rows = _pixels_between(corners[:, 1].min(), corners[:, 1].max(), frame.shape[0])
    if columns.size == 0 or rows.size == 0:
        return pasted
    pixels = np.stack(np.meshgrid(columns + 0.5, rows + 0.5), axis=-1)
    u, v = np.moveaxis((rotated(pixels, centre, -roll) - box[:2]) / sides, -1, 0)
    across, down = np.abs((u - CENTRE_U) / HALF_WIDTH), np.abs((v - CENTRE_V) / HALF_HEIGHT)
    alpha = _mask_at((down**ROUNDNESS + across**ROUNDNESS) ** (1 / ROUNDNESS))[..., None]
    size = generated.shape[0]
    patch = sample_cubic(generated, u * size - 0.5, v * size - 0.5) + tint
    area = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    mixed = alpha * np.clip(patch, 0, 255) + (1 - alpha) * frame[area]
    pasted[area] = np.where(alpha > 0, np.rint(mixed), frame[area]).astype(np.uint8)
    return pasted


def mouth_mask(u: Float, v: Float) -> NDArray[np.float32]:
    """Weight 0..1 of the generated image at crop coordinates ``u [W]``, ``v [H]`` in 0..1: float32 [H, W].

    A superellipse in the lower half of the crop: 0 on its border and outside, 1 in the middle, smooth in between.
    """
    across = np.abs((u - CENTRE_U) / HALF_WIDTH) ** ROUNDNESS
    down = np.abs((v - CENTRE_V) / HALF_HEIGHT) ** ROUNDNESS
    return _mask_at(np.add.outer(down, across) ** (1 / ROUNDNESS))


def _mask_at(radius: Float) -> NDArray[np.float32]:
    return _smooth_step((1 - radius) / FEATHER).astype(np.float32)


def _smooth_step(t: Float) -> Float:
    """Smooth step from 0 at t <= 0 to 1 at t >= 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _pixels_between(start: float, stop: float, limit: int) -> NDArray[np.int64]:
    """Indices of the pixels whose centre lies in [start, stop) and within the frame."""
    return np.arange(max(0, math.ceil(start - 0.5)), min(limit, math.ceil(stop - 0.5)))


def _resample(image: NDArray[np.uint8], u: Float, v: Float) -> NDArray[np.float32]:
    """Bicubic samples of ``image: uint8 [S, S, 3]`` on the grid ``v`` x ``u``: float32 [H, W, 3], not clipped."""
    across, down = _weights(u, image.shape[1]), _weights(v, image.shape[0])
    half_way = np.tensordot(down, image.astype(np.float32), axes=(1, 0))
    return np.einsum("wi,hic->hwc", across, half_way, optimize=True)


def _weights(where: Float, size: int) -> NDArray[np.float32]:
    """Matrix [N, size] of cubic convolution (Keys 1981); the outer pixels are repeated beyond the border."""
    position = np.clip(where * size - 0.5, 0, size - 1)
    d = np.abs(position[:, None] - np.arange(-1, size + 1))
    near = ((SHARPNESS + 2) * d - (SHARPNESS + 3)) * d * d + 1
    far = SHARPNESS * (((d - 5) * d + 8) * d - 4)
    taps = np.where(d < 1, near, np.where(d < 2, far, 0))
    taps[:, 1] += taps[:, 0]
    taps[:, -2] += taps[:, -1]
    return taps[:, 1:-1].astype(np.float32)
