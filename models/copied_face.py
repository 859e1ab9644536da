"""The copy of a face with a blurred mouth, to which a network that predicts the change adds its output.

Legend: N folded batch, C channels, H W pixels.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

COPY_MARGIN = 0.02
"""Least distance of a copied value from 0 and 1, where its logit would be infinite."""
BLUR_CELLS = 8
"""The blurred mouth of a copied face is interpolated from this number of means in each direction."""
BLURRED_CENTRE = (0.74, 0.5)
"""Centre of the blurred mouth of a copied face, as shares of height and width."""
BLURRED_SPREAD = (0.13, 0.24)
"""Its extent, as shares of height and width; the mouth of crops of both geometries is inside."""


def copy_logits(pose_NCHW: torch.Tensor, reference_NCHW: torch.Tensor) -> torch.Tensor:
    """Logits of a copied face: the upper half of the pose, and the lower half of the reference with a blurred mouth.

    Both float [N, 3, H, W] in [0, 1] -> float32 [N, 3, H, W]; the sigmoid is the copy, within `COPY_MARGIN` of 0 and 1.
    A network that predicts the change has to draw the mouth only. With a sharp mouth it would stay at the copy, which
    moves with other audio. Neither Wav2Lip nor the paper has this connection.
    """
    height, width = pose_NCHW.shape[-2:]
    reference_NCHW = reference_NCHW.float()
    smooth_NCHW = F.interpolate(
        F.adaptive_avg_pool2d(reference_NCHW, BLUR_CELLS), (height, width), mode="bilinear", align_corners=False
    )
    lower_NCHW = torch.lerp(reference_NCHW, smooth_NCHW, _mouth_mask(height, width, pose_NCHW.device))
    half = height // 2
    copied_NCHW = torch.cat((pose_NCHW[..., :half, :].float(), lower_NCHW[..., half:, :]), dim=-2)
    return torch.logit(copied_NCHW, eps=COPY_MARGIN)


def _mouth_mask(height: int, width: int, device: torch.device) -> torch.Tensor:
    """1 around the mouth, 0 far from it, and a soft edge: float32 [H, W]."""
    rows_H, columns_W = (
        ((torch.arange(size, device=device) + 0.5) / size - centre) / spread
        for size, centre, spread in zip((height, width), BLURRED_CENTRE, BLURRED_SPREAD, strict=True)
    )
    return (2 * torch.exp(-0.5 * (rows_H[:, None] ** 2 + columns_W**2))).clamp(max=1)


def start_at_zero(layer: nn.Module) -> None:
    """Set all weights of a layer to zero, so that a network that predicts the change starts with the copy."""
    for weights in layer.parameters():
        nn.init.zeros_(weights)
