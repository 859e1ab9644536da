"""CBAM attention in residual form (Woo et al., "CBAM", ECCV 2018).

Legend: N folded batch, C channels, H W pixels (or mel bins and steps), R hidden units.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from models.choices import CBAM_REDUCTION

MIN_HIDDEN = 4
"""Minimum number of hidden units of a channel gate."""


class ChannelGate(nn.Module):
    """One gate per channel from average and max pooling through a shared MLP (CBAM, sec. 3.1).

    The MLP has C / ``reduction`` hidden units, rounded down, but at least 4. Raises ValueError for a reduction below 1.
    The last layer of the MLP is initialised to zero, so every gate is 1/2 before training.
    """

    def __init__(self, channels: int, reduction: int = CBAM_REDUCTION) -> None:
        super().__init__()
        if reduction < 1:
            raise ValueError(f"the reduction of CBAM must be at least 1, got {reduction}")
        hidden = max(MIN_HIDDEN, channels // reduction)
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> gates float [N, C, 1, 1] in (0, 1)."""
        # The backward pass of amax takes about five times as long.
        largest_NC = F.max_pool2d(x_NCHW, x_NCHW.shape[2:]).flatten(1)
        pooled_2NC = torch.stack((x_NCHW.mean(dim=(2, 3)), largest_NC))
        logits_NC = self.expand(torch.relu(self.reduce(pooled_2NC))).sum(dim=0)
        return torch.sigmoid(logits_NC)[:, :, None, None]


class SpatialGate(nn.Module):
    """One gate per position from the maximum and the mean over channels (CBAM, sec. 3.1).

    The scale of the normalisation is initialised to zero, so every gate is 1/2 before training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> gates float [N, 1, H, W] in (0, 1)."""
        largest_N1HW = x_NCHW.max(dim=1, keepdim=True).values
        pooled_N2HW = torch.cat((largest_N1HW, x_NCHW.mean(dim=1, keepdim=True)), dim=1)
        return torch.sigmoid(self.norm(self.conv(pooled_N2HW)))


class ResidualCBAM(nn.Module):
    """(x + CBAM(x)) / g: channel gate, then spatial gate, residual, divided by the initial gain g.

    Plain gating has an initial gain of 1/4 and would shrink the features in the decoder's skip connections. The
    residual form has an initial gain of g = 1 + 1/4 (1 + 1/2 without the spatial gate). Both gates are exactly 1/2
    before training for every input, so the division by the constant g makes the module the identity, bit for bit.
    The constant adds no parameter and no expressive power: a convolution with batch normalisation follows every
    feature and absorbs its scale. The gain lies in (1, 2) / g. Use `spatial=False` for maps of 3x3 and less, where a
    7x7 kernel would cover mostly padding.
    """

    def __init__(self, channels: int, reduction: int = CBAM_REDUCTION, *, spatial: bool = True) -> None:
        super().__init__()
        self.channel_gate = ChannelGate(channels, reduction)
        self.spatial_gate = SpatialGate() if spatial else None
        self.initial_gain = 1.25 if spatial else 1.5

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> float [N, C, H, W]."""
        gate = self.channel_gate(x_NCHW)
        if self.spatial_gate is not None:
            gate = gate * self.spatial_gate(x_NCHW * gate)
        return x_NCHW * ((1 + gate) / self.initial_gain)
