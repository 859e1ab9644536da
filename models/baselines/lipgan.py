"""LipGAN: generates a frame from one mel window, with a discriminator that scores sync (Prajwal et al. 2019).

The published code uses MFCCs 12x35. Here the input is a mel window 80x27, as in its later Python version, so that all
models share one mel spectrogram. The audio encoders keep LipGAN's channels. Their first layer has stride 3 over mel
bins (80 to 27). As at 12x35, the steps are then halved (27, 14, 7, 4); the bins are divided by three (27, 9, 3), and a
3x4 layer ends at 1x1. Strided layers pad both ends, as in Wav2Lip. For windows of 16 steps (Wav2Lip's), the first
halving is left out (16, 8, 4); the parameters have equal shapes.

Legend: N folded batch, C channels, H W pixels, S side of the faces in pixels, M=80 mel bins, L mel steps, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from models.audio_encoder import NUM_MEL_BINS
from models.baselines.framewise import FramewiseGenerator
from models.blocks import ConvBlock, TransposedConvBlock, scaled_channels
from models.choices import FACE_SIZE_PX, LONG_MEL_STEPS, SHORT_MEL_STEPS, FacePx, MelSteps, Predicts
from models.copied_face import copy_logits, start_at_zero
from models.face_sizes import map_sizes, require_face_px
from models.generator import face_input, require_mel_steps, require_predicts

HALVING_STRIDES: Mapping[MelSteps, tuple[int, int]] = {SHORT_MEL_STEPS: (1, 1), LONG_MEL_STEPS: (1, 2)}
"""Stride of the audio encoders' first layer that halves windows of 27 steps, by the steps of the window."""


@dataclass(frozen=True, kw_only=True)
class LipGANConfig:
    """Settings that determine the parameters of the generator. Raises ValueError for values out of range."""

    width: float = 1.0
    """Channel factor; 1 is the size of LipGAN."""
    predicts: Predicts = "image"
    """image: the face, as in LipGAN. change: what to add to `copy_logits`; before training it is zero."""
    face_px: FacePx = FACE_SIZE_PX
    """S, side of the faces in pixels; LipGAN has 96."""
    mel_steps: MelSteps = LONG_MEL_STEPS
    """L, steps of the mel window, which is centred on the frame. The number of parameters does not depend on it."""

    def __post_init__(self) -> None:
        scaled_channels(8, self.width)
        require_face_px(self.face_px)
        require_mel_steps(self.mel_steps)
        require_predicts(self.predicts)


def lipgan_face_input(target: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """`face_input` in the opposite order: the reference (identity), then the target with its lower half set to zero.

    Both float [..., 3, H, W] in [0, 1], BGR -> float [..., 6, H, W].
    """
    return face_input(target, reference).roll(3, dims=-3)


class LipGANGenerator(FramewiseGenerator):
    """LipGAN's residual generator (69,234,835 parameters at width 1; its two public variants: 71.3 and 49.5 million).

    Inputs: mel float [B, T, 1, 80, L] in [-4, 4], faces float [B, T, 6, S, S] from `lipgan_face_input`.
    """

    def __init__(self, config: LipGANConfig | None = None) -> None:
        config = config or LipGANConfig()
        super().__init__((1, NUM_MEL_BINS, config.mel_steps), (6, config.face_px, config.face_px))
        self.config = config
        sizes = map_sizes(config.face_px)
        num_further = len(sizes) - len(map_sizes(FACE_SIZE_PX))
        c16, c32, c64, c128, c256, c512 = (
            scaled_channels(channels, config.width) for channels in (16, 32, 64, 128, 256, 512)
        )
        # The comments give the sizes of the maps for S = 96 and L = 27. With S = 192, encoder and decoder have one more
        # stage. With L = 16, the maps of the audio are 27x16 twice, 9x8, 3x4 and 1x1.
        self.face_stages = nn.ModuleList(
            [
                ConvBlock(6, c32, 7, 1, 3),  # 96x96
                _stage(ConvBlock(c32, c64, 5, 2, 2), c64, num_residual=2),  # 48x48
                _stage(ConvBlock(c64, c128, 3, 2, 1), c128, num_residual=3),  # 24x24
                _stage(ConvBlock(c128, c256, 3, 2, 1), c256, num_residual=2),  # 12x12
                _stage(ConvBlock(c256, c512, 3, 2, 1), c512, num_residual=2),  # 6x6
                *(ConvBlock(c512, c512, 3, 2, 1) for _ in range(1 + num_further)),  # 3x3
            ]
        )
        self.face_head = nn.Sequential(ConvBlock(c512, c512, sizes[-2]), ConvBlock(c512, c512, 1))  # 1x1
        self.audio_encoder = nn.Sequential(
            _stage(ConvBlock(1, c128, 3, (3, 1), 1), c128, num_residual=3),  # 27x27
            _stage(ConvBlock(c128, c256, 3, HALVING_STRIDES[config.mel_steps], 1), c256, num_residual=2),  # 27x14
            _stage(ConvBlock(c256, c512, 3, (3, 2), 1), c512, num_residual=2),  # 9x7
            _stage(ConvBlock(c512, c512, 3, (3, 2), 1), c512, num_residual=1),  # 3x4
            ConvBlock(c512, c512, (3, 4)),  # 1x1
            ConvBlock(c512, c512, 1),
        )
        self.decoder_stages = nn.ModuleList(
            [
                TransposedConvBlock(2 * c512, c512, sizes[-2], sizes[-2]),  # 3x3
                *(
                    _stage(TransposedConvBlock(2 * c512, c512, 3, 2, 1, 1), c512, num_residual=2)  # 6x6
                    for _ in range(1 + num_further)
                ),
                _stage(TransposedConvBlock(2 * c512, c256, 3, 2, 1, 1), c256, num_residual=2),  # 12x12
                _stage(TransposedConvBlock(2 * c256, c128, 3, 2, 1, 1), c128, num_residual=2),  # 24x24
                _stage(TransposedConvBlock(2 * c128, c64, 3, 2, 1, 1), c64, num_residual=2),  # 48x48
                TransposedConvBlock(2 * c64, c32, 3, 2, 1, 1),  # 96x96
            ]
        )
        self.output = nn.Sequential(
            ConvBlock(2 * c32, c16, 3, 1, 1),
            ConvBlock(c16, c16, 3, 1, 1),
            nn.Conv2d(c16, 3, kernel_size=1),
        )
        if config.predicts == "change":
            start_at_zero(self.output[-1])

    def generate_logits(self, audio_NCFL: torch.Tensor, faces_NCHW: torch.Tensor) -> torch.Tensor:
        """mel float [N, 1, 80, L] and faces [N, 6, S, S] -> logits [N, 3, S, S]."""
        skips: list[torch.Tensor] = []
        x_NCHW = faces_NCHW
        for stage in self.face_stages:
            x_NCHW = stage(x_NCHW)
            skips.append(x_NCHW)
        x_NCHW = torch.cat((self.face_head(x_NCHW), self.audio_encoder(audio_NCFL)), dim=1)
        for stage in self.decoder_stages:
            x_NCHW = torch.cat((skips.pop(), stage(x_NCHW)), dim=1)
        logits_NCHW: torch.Tensor = self.output(x_NCHW)
        if self.config.predicts == "change":
            reference_NCHW, pose_NCHW = faces_NCHW.chunk(2, dim=1)
            logits_NCHW = logits_NCHW.float() + copy_logits(pose_NCHW, reference_NCHW)
        return logits_NCHW


class _ResidualPair(nn.Module):
    """Two ConvBlocks with a residual connection.

    LipGAN has a ReLU after the sum; it would change nothing, because both terms are at least 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(ConvBlock(channels, channels, 3, 1, 1), ConvBlock(channels, channels, 3, 1, 1))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] in [0, inf) -> float [N, C, H, W] in [0, inf)."""
        return x_NCHW + self.blocks(x_NCHW)


def _stage(first: nn.Module, channels: int, *, num_residual: int) -> nn.Sequential:
    return nn.Sequential(first, *(_ResidualPair(channels) for _ in range(num_residual)))
