"""Speech2Vid ("You said that?", Chung, Jamaludin and Zisserman 2017): generates a frame from stills and MFCCs.

The layers are those of its Keras re-implementation, adapted from 112x112 to 96x96: the smallest map is 6x6 instead of
7x7. The image input is stills only, as in the paper. The paper's deblurring network is left out. The audio input is
the MFCC of SyncNet and the evaluator (26 filters up to 8 kHz); the paper uses 40 filters from 300 to 3700 Hz. L1 is
the only loss: there is no sync loss and no discriminator.

Legend: N folded batch, C channels, H W pixels, S side of the faces in pixels, K=12 cepstral coefficients, L=35 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from models.baselines.framewise import FramewiseGenerator
from models.blocks import ConvBlock, TransposedConvBlock, scaled_channels
from models.choices import FACE_SIZE_PX, FacePx
from models.face_sizes import require_face_px

NUM_MFCC = 12
"""Coefficients c1 to c12; c0, the log energy, is left out."""
SPEECH2VID_MFCC_STEPS = 35
"""0.35 s at 100 steps/s, centred on the frame."""
REDUCTION_OF_FACES = 16
"""Side of the faces, divided by the side of the smallest map."""
NUM_JOINT_MAPS = 2
"""Number of smallest maps to which audio and identity are projected; not scaled by `width`."""


@dataclass(frozen=True, kw_only=True)
class Speech2VidConfig:
    """Settings that determine the parameters of the network. Raises ValueError for values out of range."""

    width: float = 1.0
    """Channel factor; 1 is the size of the re-implementation."""
    num_stills: int = 5
    """Number of stills of the speaker; they are stacked on the channel axis."""
    face_px: FacePx = FACE_SIZE_PX
    """S, side of the faces in pixels."""

    def __post_init__(self) -> None:
        scaled_channels(8, self.width)
        require_face_px(self.face_px)
        if self.num_stills < 1:
            raise ValueError(f"num_stills must be at least 1, got {self.num_stills}")


class Speech2Vid(FramewiseGenerator):
    """Speech2Vid with five stills (38,327,115 parameters at width 1).

    Inputs: mfcc float [B, T, 1, 12, 35]; faces float [B, T, 3 * num_stills, S, S] in [0, 1], BGR, the stills in
    sequence.
    """

    def __init__(self, config: Speech2VidConfig | None = None) -> None:
        config = config or Speech2VidConfig()
        num_channels = 3 * config.num_stills
        super().__init__((1, NUM_MFCC, SPEECH2VID_MFCC_STEPS), (num_channels, config.face_px, config.face_px))
        self.config = config
        size = config.face_px // REDUCTION_OF_FACES
        c64, c96, c128, c256, c512 = (scaled_channels(channels, config.width) for channels in (64, 96, 128, 256, 512))
        self.audio_encoder = nn.Sequential(
            ConvBlock(1, c64, 3, 1, 1),  # 12x35
            ConvBlock(c64, c128, 3, 1, 1),
            nn.MaxPool2d(3, (1, 2), 1),  # 12x18
            ConvBlock(c128, c256, 3, 1, 1),
            ConvBlock(c256, c256, 3, 1, 1),
            ConvBlock(c256, c512, 3, 1, 1),
            nn.MaxPool2d(3, 2, 1),  # 6x9
            *_projection(c512 * 6 * 9, c512, c256),
        )
        # The comments give the sizes of the maps for S = 96.
        self.identity_stages = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(num_channels, c96, 7, 2, 3), nn.MaxPool2d(3, 2, 1)),  # 24x24
                ConvBlock(c96, c256, 5, 2, 2),  # 12x12
                nn.MaxPool2d(3, 2, 1),  # 6x6
            ]
        )
        self.identity_head = nn.Sequential(
            ConvBlock(c256, c512, 3, 1, 1),
            ConvBlock(c512, c512, 3, 1, 1),
            ConvBlock(c512, c512, 3, 1, 1),
            *_projection(c512 * size * size, c512, c256),
        )
        self.grid = nn.Sequential(
            nn.Linear(2 * c256, NUM_JOINT_MAPS * size * size),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (NUM_JOINT_MAPS, size, size)),
        )
        self.decoder_stages = nn.ModuleList(
            [
                # Transposed layers of stride 1 in the original are convolutions with mirrored kernels. The even kernel
                # needs asymmetric padding.
                nn.Sequential(
                    nn.ZeroPad2d((2, 3, 2, 3)),
                    ConvBlock(NUM_JOINT_MAPS, c512, 6),  # 6x6
                    ConvBlock(c512, c256, 5, 1, 2),
                ),
                TransposedConvBlock(2 * c256, c96, 5, 2, 2, 1),  # 12x12
                TransposedConvBlock(c96 + c256, c96, 5, 2, 2, 1),  # 24x24
            ]
        )
        self.output = nn.Sequential(
            TransposedConvBlock(2 * c96, c64, 5, 2, 2, 1),  # 48x48
            nn.ConvTranspose2d(c64, 3, 5, 2, 2, 1),  # 96x96
        )

    def generate_logits(self, audio_NCFL: torch.Tensor, faces_NCHW: torch.Tensor) -> torch.Tensor:
        """mfcc float [N, 1, 12, 35] and stills [N, 3 * num_stills, S, S] -> logits [N, 3, S, S]."""
        skips: list[torch.Tensor] = []
        x_NCHW = faces_NCHW
        for stage in self.identity_stages:
            x_NCHW = stage(x_NCHW)
            skips.append(x_NCHW)
        x_NCHW = self.grid(torch.cat((self.audio_encoder(audio_NCFL), self.identity_head(x_NCHW)), dim=1))
        for stage in self.decoder_stages:
            x_NCHW = torch.cat((stage(x_NCHW), skips.pop()), dim=1)
        logits_NCHW: torch.Tensor = self.output(x_NCHW)
        return logits_NCHW


def _projection(num_inputs: int, hidden: int, dim: int) -> tuple[nn.Module, ...]:
    return (
        nn.Flatten(),
        nn.Linear(num_inputs, hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, dim),
        nn.ReLU(inplace=True),
    )
