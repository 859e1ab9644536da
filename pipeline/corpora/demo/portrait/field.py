"""Scalar fields over the face plane: coordinates, soft shapes and noise, from which layers are painted.

Face coordinates: one unit is half the width of the face; u points to the viewer's right, v downwards; the origin is
between the eyes. H and W are the canvas' height and width in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]

UNIT_OF_SIZE = 0.265
"""Half the face width as a fraction of the image side. The mouth is then wider than 22 % of the image."""
EYE_LINE = 0.45
"""Height of the eye line in the image, as a fraction of its side."""


@dataclass(frozen=True)
class Canvas:
    """A square pixel grid in face coordinates: ``side_px`` pixels per side, ``unit_px`` pixels per unit."""

    side_px: int
    unit_px: float
    origin_x: float
    origin_y: float

    @classmethod
    def for_image(cls, size_px: int, scale: float, margin: float) -> Canvas:
        """The canvas of an image of ``size_px``, enlarged by ``scale``, plus ``margin`` (a fraction of it)."""
        pad = round(size_px * scale * margin)
        side = round(size_px * scale) + 2 * pad
        inner = side - 2 * pad
        return cls(side, inner * UNIT_OF_SIZE, inner * 0.5 + pad, inner * EYE_LINE + pad)

    def finer(self, factor: int) -> Canvas:
        """The same view with ``factor`` times as many pixels per side."""
        return Canvas(
            self.side_px * factor,
            self.unit_px * factor,
            self.origin_x * factor,
            self.origin_y * factor,
        )

    def grid(self) -> tuple[Field, Field]:
        """The coordinates u, float32 [1, W], and v, float32 [H, 1], at pixel centres. They broadcast to [H, W]."""
        i = np.arange(self.side_px, dtype=np.float32) + 0.5
        u = (i - self.origin_x) / self.unit_px
        v = (i - self.origin_y) / self.unit_px
        return u[None, :].astype(np.float32), v[:, None].astype(np.float32)

    def window(self, u0: float, u1: float, v0: float, v1: float) -> tuple[slice, slice]:
        """Pixel slices (rows, columns) of a rectangle in face coordinates, clipped to the canvas."""

        def cut(lo: float, hi: float, origin: float) -> slice:
            a = int(np.floor(lo * self.unit_px + origin))
            b = int(np.ceil(hi * self.unit_px + origin))
            return slice(max(a, 0), min(b, self.side_px))

        return cut(v0, v1, self.origin_y), cut(u0, u1, self.origin_x)

    def to_px(self, u: float, v: float) -> tuple[float, float]:
        """Convert face coordinates to continuous pixel coordinates (x, y)."""
        return u * self.unit_px + self.origin_x, v * self.unit_px + self.origin_y


def smoothstep(lo: float | Field, hi: float | Field, x: Field) -> Field:
    """0 below ``lo``, 1 above ``hi``, and a cubic between; reversed for lo > hi. float32."""
    t = np.clip((x - lo) / (hi - lo), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def bump(x: Field, y: Field | float = 0.0) -> Field:
    """The Gaussian exp(-(x^2 + y^2)), float32."""
    return np.exp(-(x * x + y * y)).astype(np.float32)


def mix(a: Field, b: Field | float, t: Field | float) -> Field:
    """Blend linearly from ``a`` (t = 0) to ``b`` (t = 1). A weight [H, W] broadcasts over channels of [H, W, 3]."""
    if isinstance(t, np.ndarray) and t.ndim == 2 and max(np.ndim(a), np.ndim(b)) != 2:
        t = t[..., None]
    return a + (b - a) * t


def noise(rng: np.random.Generator, side_px: int, cells_x: int, cells_y: int | None = None) -> Field:
    """Smooth noise with zero mean and about unit standard deviation, float32 [side, side]."""
    cells_y = cells_x if cells_y is None else cells_y
    coarse = rng.standard_normal((cells_y, cells_x)).astype(np.float32)
    fine = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return fine / (fine.std() + 1e-6)


def sample_tile(tile: Field, x: Field, y: Field) -> Field:
    """A periodic tile at pixel coordinates ``x``, ``y``, with bilinear interpolation."""
    side = tile.shape[0]
    full = np.broadcast_shapes(x.shape, y.shape)
    map_x = np.ascontiguousarray(np.broadcast_to(np.mod(x, side), full), dtype=np.float32)
    map_y = np.ascontiguousarray(np.broadcast_to(np.mod(y, side), full), dtype=np.float32)
    return cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def blur_field(image: Field, sigma_px: float) -> Field:
    """The image with a Gaussian blur; unchanged for a sigma below 0.2 pixels."""
    if sigma_px < 0.2:
        return image
    return cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)


def to_display(linear: Field) -> Field:
    """Convert linear light to display values in [0, 1]: gamma 2.2 with soft compression of highlights."""
    x = np.maximum(linear, 0.0)
    x = np.where(x > 0.8, 0.8 + 0.2 * (1.0 - np.exp(-(x - 0.8) / 0.2)), x)
    return np.power(x, 1.0 / 2.2).astype(np.float32)


def to_linear(display: Field | tuple[float, ...]) -> Field:
    """Convert display values in [0, 1] to linear light."""
    return np.power(np.asarray(display, dtype=np.float32), 2.2)
