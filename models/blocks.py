"""Convolution blocks and the width rule that the networks share.

Legend: N folded batch, C channels, H W pixels (or mel bins and steps).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

Size2d = int | tuple[int, int]


def scaled_channels(channels: int, width: float) -> int:
    """Channel count at a width factor: the nearest multiple of 8, at least 8; unchanged at width 1.

    Raises ValueError if the width is not a positive finite number.
    """
    if not (math.isfinite(width) and width > 0):
        raise ValueError(f"width must be a positive number, got {width!r} (the network's `width`)")
    if width == 1:
        return channels
    return max(8, 8 * math.floor(channels * width / 8 + 0.5))


LEAKY_SLOPE = 0.01
"""Negative slope of the discriminator's activations."""


class ConvBlock(nn.Module):
    """Conv2d, BatchNorm2d, addition of the input if `residual`, ReLU (Wav2Lip's block)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Size2d,
        stride: Size2d = 1,
        padding: Size2d = 0,
        *,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(out_channels)
        self.residual = residual

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> float [N, C', H', W'] in [0, inf)."""
        y_NCHW = self.norm(self.conv(x_NCHW))
        if self.residual:
            y_NCHW = y_NCHW + x_NCHW
        return torch.relu_(y_NCHW)


class TransposedConvBlock(nn.Module):
    """ConvTranspose2d, BatchNorm2d, ReLU (Wav2Lip's upsampling block)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Size2d,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, kernel, stride, padding, output_padding)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> float [N, C', H', W'] in [0, inf)."""
        return torch.relu_(self.norm(self.conv(x_NCHW)))


class LeakyConvBlock(nn.Module):
    """Conv2d, LeakyReLU(0.01), no normalisation (Wav2Lip's discriminator block)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Size2d,
        stride: Size2d = 1,
        padding: Size2d = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
        self.act = nn.LeakyReLU(LEAKY_SLOPE, inplace=True)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> float [N, C', H', W']."""
        y_NCHW: torch.Tensor = self.act(self.conv(x_NCHW))
        return y_NCHW


def embedding_head(channels: int, dim: int, *, linear: bool) -> nn.Module:
    """The last 1x1 layer of an encoder: a ConvBlock as in Wav2Lip, or a plain convolution if `linear`."""
    return nn.Conv2d(channels, dim, kernel_size=1) if linear else ConvBlock(channels, dim, 1)


def residual_blocks(channels: int, count: int) -> list[ConvBlock]:
    """`count` residual 3x3 blocks that preserve channels and size."""
    return [ConvBlock(channels, channels, 3, 1, 1, residual=True) for _ in range(count)]


def encoder_stage(
    in_channels: int,
    out_channels: int,
    kernel: Size2d,
    stride: Size2d = 1,
    padding: Size2d = 0,
    *,
    num_residual: int = 0,
) -> nn.Sequential:
    """One ConvBlock that changes channels and size, then `num_residual` residual blocks."""
    return nn.Sequential(
        ConvBlock(in_channels, out_channels, kernel, stride, padding),
        *residual_blocks(out_channels, num_residual),
    )


def unit_length(x_ND11: torch.Tensor) -> torch.Tensor:
    """Embeddings float [N, D, 1, 1] -> float32 [N, D] of unit length."""
    return F.normalize(x_ND11.flatten(1).float(), dim=1, eps=1e-6)
