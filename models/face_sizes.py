"""Sizes of the generators' face crops, and of the maps that their encoders compute.

Legend: H W pixels, h w pixels of the result.
"""

from __future__ import annotations

from typing import get_args

import torch

from models.choices import FacePx

SMALLEST_MAP = 4
"""Sides of maps are halved until they are at most this; one layer then reduces the map to 1x1."""


def require_face_px(value: int) -> None:
    """Raise ValueError unless the value is one of `FacePx`."""
    if value not in get_args(FacePx):
        raise ValueError(f"face_px must be {', '.join(map(str, get_args(FacePx)))}, got {value!r}")


def map_sizes(face_px: int) -> list[int]:
    """Sides of the maps of an encoder for faces of this size, from the face to 1.

    96: 96, 48, 24, 12, 6, 3, 1. 128: 128, 64, 32, 16, 8, 4, 1. 192: 192, 96, 48, 24, 12, 6, 3, 1.
    """
    sizes = [face_px]
    while sizes[-1] > SMALLEST_MAP:
        sizes.append(sizes[-1] // 2)
    return [*sizes, 1]


def resize_by_area(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Mean over the area that each pixel of the result covers: float [..., H, W] -> float32 [..., h, w].

    It equals OpenCV's `INTER_AREA` for smaller sizes, and gradients pass through it. Images of this size are returned
    unchanged.
    """
    if tuple(images.shape[-2:]) == (height, width):
        return images
    with torch.autocast(images.device.type, enabled=False):
        rows_hH, columns_wW = (
            _area_shares(before, after, images.device)
            for before, after in zip(images.shape[-2:], (height, width), strict=True)
        )
        return rows_hH @ (images.float() @ columns_wW.T)


def _area_shares(before: int, after: int, device: torch.device) -> torch.Tensor:
    """Share of each of ``before`` pixels in each of ``after`` pixels of the same length: float32 [after, before]."""
    edges = torch.arange(after + 1, device=device) * (before / after)
    pixels = torch.arange(before, device=device)
    ends = torch.minimum(edges[1:, None], pixels + 1.0)
    starts = torch.maximum(edges[:-1, None], pixels.float())
    return (ends - starts).clamp(min=0) * (after / before)
