"""SyncNet expert: embeds five lower face halves and 0.2 s of audio; the cosine of the two scores their sync.

Legend: B batch, C channels, H W pixels, M mel bins, L mel steps, D embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from models.audio_encoder import AudioEncoder
from models.blocks import ConvBlock, embedding_head, encoder_stage, scaled_channels, unit_length
from models.choices import WINDOW_FRAMES
from models.parallel import dropout

FACE_CHANNELS = 3 * WINDOW_FRAMES
NUM_SPATIAL_MAPS = 4
"""Number of face stages whose feature maps `embed_faces_with_maps` returns."""


@dataclass(frozen=True, kw_only=True)
class SyncNetConfig:
    """Settings that determine the parameters of the expert and the range of its cosines.

    Raises ValueError for values out of range.
    """

    width: float = 1.0
    """Channel factor; 1 is the size of Wav2Lip."""
    embedding_dim: int = 512
    """D; not scaled by `width`."""
    linear_heads: bool = False
    """False: the heads of Wav2Lip, ReLU then L2 normalisation, cosines in [0, 1] (for the BCE objective).
    True: linear heads on centred inputs, cosines in [-1, 1], and a learned temperature (for InfoNCE)."""
    temperature: float = 0.1
    """Initial temperature; used with `linear_heads` only."""
    dropout: float = 0.0
    """Dropout probability of the features before each embedding layer."""

    def __post_init__(self) -> None:
        scaled_channels(8, self.width)
        if self.embedding_dim < 1:
            raise ValueError(f"embedding_dim must be at least 1, got {self.embedding_dim}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")


class SyncNet(nn.Module):
    """Wav2Lip's expert lip-sync discriminator (sec. 3.3; 16,435,072 parameters at width 1)."""

    def __init__(self, config: SyncNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SyncNetConfig()
        c32, c64, c128, c256, c512 = (scaled_channels(channels, config.width) for channels in (32, 64, 128, 256, 512))
        head = embedding_head(c512, config.embedding_dim, linear=config.linear_heads)
        self.face_encoder = nn.Sequential(
            encoder_stage(FACE_CHANNELS, c32, 7, 1, 3),  # 48x96
            encoder_stage(c32, c64, 5, (1, 2), 1, num_residual=2),  # 46x47
            encoder_stage(c64, c128, 3, 2, 1, num_residual=3),  # 23x24
            encoder_stage(c128, c256, 3, 2, 1, num_residual=2),  # 12x12
            encoder_stage(c256, c512, 3, 2, 1, num_residual=2),  # 6x6
            encoder_stage(c512, c512, 3, 2, 1),  # 3x3
            ConvBlock(c512, c512, 3),  # 1x1
            head,
        )
        self.audio_encoder = AudioEncoder(
            config.width,
            num_residual_256=2,
            embedding_dim=config.embedding_dim,
            linear_head=config.linear_heads,
        )
        start = torch.tensor(math.log(config.temperature))
        self.log_temperature = nn.Parameter(start) if config.linear_heads else None

    @property
    def min_cosine(self) -> float:
        """Lowest possible cosine of two embeddings: 0 after ReLU, -1 with linear heads."""
        return -1.0 if self.config.linear_heads else 0.0

    @property
    def temperature(self) -> torch.Tensor:
        """Divisor of the cosines in InfoNCE, scalar float32; 1 without `linear_heads`."""
        return torch.ones(()) if self.log_temperature is None else self.log_temperature.exp()

    def embed_faces(self, lower_BCHW: torch.Tensor) -> torch.Tensor:
        """Five stacked lower halves float [B, 15, 48, 96] in [0, 1], BGR, frame-major -> float32 [B, D] of unit length.

        The embedding is zero if all outputs of the head's ReLU are zero.
        """
        return self.embed_faces_with_maps(lower_BCHW)[0]

    def embed_faces_with_maps(self, lower_BCHW: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """As `embed_faces`, and the feature maps of the first four stages: 48x96, 46x47, 23x24, 12x12."""
        x_BCHW = lower_BCHW - 0.5 if self.config.linear_heads else lower_BCHW
        maps = []
        *stages, head = self.face_encoder
        for stage in stages:
            x_BCHW = stage(x_BCHW)
            maps.append(x_BCHW)
        return unit_length(head(self._dropout(x_BCHW))), maps[:NUM_SPATIAL_MAPS]

    def embed_audio(self, mel_B1ML: torch.Tensor) -> torch.Tensor:
        """mel float [B, 1, 80, 16] in [-4, 4] -> float32 [B, D] of unit length."""
        return unit_length(self.audio_encoder(mel_B1ML, before_head=self._dropout))

    def _dropout(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return dropout(x_BCHW, self.config.dropout, is_training=self.training)
