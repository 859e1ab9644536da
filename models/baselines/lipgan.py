"""LipGAN: a frame drawn from one mel window, against a discriminator that judges sync (Prajwal et al. 2019).

Its published code takes MFCCs 12x35; here, as in its later Python version, mel windows 80x27, so that one mel serves
every model. The audio towers keep LipGAN's channels. Their first layer takes every third mel bin (80 to 27), then steps
are halved as at 12x35 (27, 14, 7, 4) and bins divided by three (27, 9, 3), and a 3x4 layer ends at 1x1.
Strided layers pad both ends, as Wav2Lip's do.

Legend: N folded batch, C channels, H W pixels, M=80 mel bins, L=27 mel steps, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from models.audio_encoder import NUM_MEL_BINS
from models.baselines.framewise import FramewiseGenerator
from models.blocks import ConvBlock, Size2d, TransposedConvBlock, scaled_channels
from models.generator import FACE_SIZE_PX, face_input

MEL_STEPS = 27
"""0.34 s at 80 steps/s, the frame in the middle."""
LEAKY_SLOPE = 0.2
MARGIN = 1.0
"""Distance from which an unsynced pair costs nothing; embeddings of unit length are at most 2 apart."""


@dataclass(frozen=True, kw_only=True)
class LipGANConfig:
    """What fixes the generator's parameters."""

    width: float = 1.0
    """Channel factor; 1 is LipGAN's size."""

    def __post_init__(self) -> None:
        scaled_channels(8, self.width)


def lipgan_face_input(target: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """`face_input` the other way round: the reference (identity), then the target with its lower half zeroed.

    Both float [..., 3, H, W] in [0, 1], BGR -> float [..., 6, H, W].
    """
    return face_input(target, reference).roll(3, dims=-3)


class LipGANGenerator(FramewiseGenerator):
    """LipGAN's residual generator (69,234,835 parameters at width 1).

    mel float [B, T, 1, 80, 27] in [-4, 4], faces [B, T, 6, 96, 96] from `lipgan_face_input`.
    """

    def __init__(self, config: LipGANConfig | None = None) -> None:
        super().__init__((1, NUM_MEL_BINS, MEL_STEPS), (6, FACE_SIZE_PX, FACE_SIZE_PX))
        self.config = config = config or LipGANConfig()
        c16, c32, c64, c128, c256, c512 = (
            scaled_channels(channels, config.width) for channels in (16, 32, 64, 128, 256, 512)
        )
        self.face_stages = nn.ModuleList(
            [
                ConvBlock(6, c32, 7, 1, 3),  # 96x96
                _stage(ConvBlock(c32, c64, 5, 2, 2), c64, num_residual=2),  # 48x48
                _stage(ConvBlock(c64, c128, 3, 2, 1), c128, num_residual=3),  # 24x24
                _stage(ConvBlock(c128, c256, 3, 2, 1), c256, num_residual=2),  # 12x12
                _stage(ConvBlock(c256, c512, 3, 2, 1), c512, num_residual=2),  # 6x6
                ConvBlock(c512, c512, 3, 2, 1),  # 3x3
            ]
        )
        self.face_head = nn.Sequential(ConvBlock(c512, c512, 3), ConvBlock(c512, c512, 1))  # 1x1
        self.audio_encoder = nn.Sequential(
            _stage(ConvBlock(1, c128, 3, (3, 1), 1), c128, num_residual=3),  # 27x27
            _stage(ConvBlock(c128, c256, 3, (1, 2), 1), c256, num_residual=2),  # 27x14
            _stage(ConvBlock(c256, c512, 3, (3, 2), 1), c512, num_residual=2),  # 9x7
            _stage(ConvBlock(c512, c512, 3, (3, 2), 1), c512, num_residual=1),  # 3x4
            ConvBlock(c512, c512, (3, 4)),  # 1x1
            ConvBlock(c512, c512, 1),
        )
        self.decoder_stages = nn.ModuleList(
            [
                TransposedConvBlock(2 * c512, c512, 3, 3),  # 3x3
                _stage(TransposedConvBlock(2 * c512, c512, 3, 2, 1, 1), c512, num_residual=2),  # 6x6
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

    def draw(self, audio_NCFL: torch.Tensor, faces_NCHW: torch.Tensor) -> torch.Tensor:
        """mel float [N, 1, 80, 27] and faces [N, 6, 96, 96] -> logits [N, 3, 96, 96]."""
        skips: list[torch.Tensor] = []
        x_NCHW = faces_NCHW
        for stage in self.face_stages:
            x_NCHW = stage(x_NCHW)
            skips.append(x_NCHW)
        x_NCHW = torch.cat((self.face_head(x_NCHW), self.audio_encoder(audio_NCFL)), dim=1)
        for stage in self.decoder_stages:
            x_NCHW = torch.cat((skips.pop(), stage(x_NCHW)), dim=1)
        logits_NCHW: torch.Tensor = self.output(x_NCHW)
        return logits_NCHW


class LipGANDiscriminator(nn.Module):
    """How far a face is from a mel window: small in sync (12,288,512 parameters at width 1).

    It is trained together with the generator and sees one whole face at a time. Each channel is normalised on its own;
    LipGAN's Keras layer takes the moments over channels too. Layers before a norm have no bias, which it would undo.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c64, c128, c256, c512 = (scaled_channels(channels, width) for channels in (64, 128, 256, 512))
        self.face_encoder = nn.Sequential(
            _normed(3, c64, 7, 2, 3),  # 48x48
            _normed(c64, c128, 5, 2, 2),  # 24x24
            _normed(c128, c256, 3, 2, 1),  # 12x12
            _normed(c256, c512, 3, 2, 1),  # 6x6
            _normed(c512, c512, 3, 2, 1),  # 3x3
            nn.Conv2d(c512, c512, 3),  # 1x1
        )
        self.audio_encoder = nn.Sequential(
            _normed(1, c64, 3, (3, 1), 1),  # 27x27
            _normed(c64, c128, 3, 1, 1),
            _normed(c128, c256, 3, (1, 2), 1),  # 27x14
            _normed(c256, c256, 3, 1, 1),
            _normed(c256, c256, 3, (3, 2), 1),  # 9x7
            _normed(c256, c512, 3, (3, 2), 1),  # 3x4
            nn.Conv2d(c512, c512, (3, 4)),  # 1x1
        )

    def forward(self, faces_NCHW: torch.Tensor, mel_N1ML: torch.Tensor) -> torch.Tensor:
        """faces float [N, 3, 96, 96] in [0, 1], BGR, and mel [N, 1, 80, 27] -> distance float32 [N] in [0, 2]."""
        face_ND = _unit_length(self.face_encoder(faces_NCHW))
        audio_ND = _unit_length(self.audio_encoder(mel_N1ML))
        return torch.linalg.vector_norm(face_ND - audio_ND, dim=1)


def lipgan_contrastive_loss(distance_N: torch.Tensor, is_unsynced_N: torch.Tensor) -> torch.Tensor:
    """(1 - y) d^2 + y max(0, 1 - d)^2 with y = 0 in sync and y = 1 not, mean over the batch, scalar float32.

    distance: float [N] in [0, 2]; is_unsynced: bool or float [N]. LipGAN's generator adds 0.01 times this with y = 0
    to its L1; its discriminator takes generated pairs and true faces with another's audio as y = 1.
    """
    if distance_N.shape != is_unsynced_N.shape:
        raise ValueError(f"shapes must agree, got {tuple(distance_N.shape)} and {tuple(is_unsynced_N.shape)}")
    distance_N = distance_N.float()
    y_N = is_unsynced_N.to(distance_N)
    return ((1 - y_N) * distance_N.square() + y_N * F.relu(MARGIN - distance_N).square()).mean()


class _ResidualPair(nn.Module):
    """Two ConvBlocks and their input added. The ReLU that LipGAN has after the sum would change nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(ConvBlock(channels, channels, 3, 1, 1), ConvBlock(channels, channels, 3, 1, 1))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] in [0, inf) -> the same."""
        return x_NCHW + self.blocks(x_NCHW)


def _stage(first: nn.Module, channels: int, *, num_residual: int) -> nn.Sequential:
    return nn.Sequential(first, *(_ResidualPair(channels) for _ in range(num_residual)))


def _normed(in_channels: int, out_channels: int, kernel: int, stride: Size2d, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
        nn.InstanceNorm2d(out_channels, affine=True),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
    )


def _unit_length(x_ND11: torch.Tensor) -> torch.Tensor:
    return F.normalize(x_ND11.flatten(1).float(), dim=1, eps=1e-6)
