"""Visual quality discriminator on the lower half of the face.

Legend: N folded batch, C channels, H W pixels, S side of the faces in pixels.
"""

from __future__ import annotations

import torch
from torch import nn

from models.blocks import LEAKY_SLOPE, LeakyConvBlock, scaled_channels


class QualityDiscriminator(nn.Module):
    """Classifies single frames as real or generated (Wav2Lip, sec. 3.4; 14,113,793 parameters at width 1).

    Returns logits; the loss applies the sigmoid in a numerically stable form. Weights are initialised as in He et al.
    2015 for leaky ReLU. The network has no normalisation, and PyTorch's default initialisation shrinks the signal over
    14 layers until every input has the same logit. Training takes thousands of steps to leave that plateau.

    All its layers are convolutions, so it takes faces of any size S. A frame has P logits, one for each part of the
    lower half: 1 for S = 96, as published, 4 for 128 and 16 for 192. The parameters are the same for all sizes.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c128, c256, c512 = (scaled_channels(channels, width) for channels in (32, 64, 128, 256, 512))
        # The comments give the sizes of the maps for S = 96.
        self.layers = nn.Sequential(
            LeakyConvBlock(3, c32, 7, 1, 3),  # 48x96
            LeakyConvBlock(c32, c64, 5, (1, 2), 2),  # 48x48
            LeakyConvBlock(c64, c64, 5, 1, 2),
            LeakyConvBlock(c64, c128, 5, 2, 2),  # 24x24
            LeakyConvBlock(c128, c128, 5, 1, 2),
            LeakyConvBlock(c128, c256, 5, 2, 2),  # 12x12
            LeakyConvBlock(c256, c256, 5, 1, 2),
            LeakyConvBlock(c256, c512, 3, 2, 1),  # 6x6
            LeakyConvBlock(c512, c512, 3, 1, 1),
            LeakyConvBlock(c512, c512, 3, 2, 1),  # 3x3
            LeakyConvBlock(c512, c512, 3, 1, 1),
            LeakyConvBlock(c512, c512, 3),  # 1x1
            LeakyConvBlock(c512, c512, 1),
            nn.Conv2d(c512, 1, kernel_size=1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAKY_SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, lower_NCHW: torch.Tensor) -> torch.Tensor:
        """lower halves float [N, 3, S / 2, S] in [0, 1], BGR -> logits float32 [N * P]; high means real."""
        return self.maps(lower_NCHW)[-1]

    def maps(self, lower_NCHW: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of all layers for lower halves float [N, 3, S / 2, S]; the last one is the logits float32 [N * P]."""
        maps = []
        x_NCHW = lower_NCHW
        for layer in self.layers:
            x_NCHW = layer(x_NCHW)
            maps.append(x_NCHW)
        maps[-1] = x_NCHW.flatten().float()
        return maps
