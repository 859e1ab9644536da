"""Lip-sync generator: Wav2Lip's encoder-decoder with an LSTM on the audio and CBAM in the encoders.

Legend: B batch, T window frames, N = B*T folded batch, C channels, H W pixels, M mel bins, L steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from models.audio_encoder import AudioEncoder, MelLSTM
from models.blocks import (
    ConvBlock,
    TransposedConvBlock,
    encoder_stage,
    residual_blocks,
    scaled_channels,
)
from models.cbam import ResidualCBAM

FACE_SIZE_PX = 96


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """What fixes the generator's parameters."""

    width: float = 1.0
    """Channel factor; 1 is Wav2Lip's size."""
    use_lstm: bool = True
    """LSTM over the mel window's steps, in front of the audio encoder."""
    use_cbam: bool = True
    """CBAM after the face stages and the audio stages; skips read the refined features."""
    lstm_hidden: int = 256
    """LSTM units; not scaled by `width`."""

    def __post_init__(self) -> None:
        scaled_channels(8, self.width)
        if self.lstm_hidden < 1:
            raise ValueError(f"lstm_hidden must be at least 1, got {self.lstm_hidden}")


def face_input(target: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Generator input: the target with its lower half zeroed (pose), then the reference.

    Both float [..., 3, H, W] in [0, 1], BGR -> float [..., 6, H, W] (Wav2Lip, sec. 3.2).
    """
    pose = target.clone()
    pose[..., target.shape[-2] // 2 :, :] = 0
    return torch.cat((pose, reference), dim=-3)


class Generator(nn.Module):
    """Face frames with the mouth re-drawn for the audio (Wav2Lip, sec. 3.2, plus LSTM and CBAM).

    Frames are processed independently. With both additions off this is Wav2Lip's generator
    (36,298,035 parameters at width 1). Under one seed all four variants start from equal shared
    weights, leave the global random state equal, and compute the same function at step 0: the
    LSTM's projection starts at zero and each CBAM starts as the identity.
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        face = [scaled_channels(c, config.width) for c in (16, 32, 64, 128, 256, 512, 512)]
        self.face_stages = nn.ModuleList(
            [
                encoder_stage(6, face[0], 7, 1, 3),
                encoder_stage(face[0], face[1], 3, 2, 1, num_residual=2),
                encoder_stage(face[1], face[2], 3, 2, 1, num_residual=3),
                encoder_stage(face[2], face[3], 3, 2, 1, num_residual=2),
                encoder_stage(face[3], face[4], 3, 2, 1, num_residual=2),
                encoder_stage(face[4], face[5], 3, 2, 1, num_residual=1),
                nn.Sequential(ConvBlock(face[5], face[6], 3), ConvBlock(face[6], face[6], 1)),
            ]
        )
        self.audio_encoder = AudioEncoder(config.width, num_residual_256=1)
        dec = [scaled_channels(c, config.width) for c in (512, 512, 512, 384, 256, 128, 64)]
        stages: list[nn.Module] = [ConvBlock(dec[0], dec[0], 1)]
        stages.append(self._up(dec[0] + face[6], dec[1], stride=1, num_residual=1))
        for level in range(2, 7):
            skip = face[7 - level]
            stages.append(self._up(dec[level - 1] + skip, dec[level], stride=2, num_residual=2))
        self.decoder_stages = nn.ModuleList(stages)
        out = scaled_channels(32, config.width)
        self.output = nn.Sequential(ConvBlock(dec[6] + face[0], out, 3, 1, 1), nn.Conv2d(out, 3, kernel_size=1))
        with torch.random.fork_rng(devices=[]):
            self.mel_lstm = MelLSTM(config.lstm_hidden) if config.use_lstm else None
            self.face_cbam = nn.ModuleList()
            self.audio_cbam = nn.ModuleList()
            if config.use_cbam:
                # The last map of each list is 3x3: channel gate only.
                self.face_cbam.extend(ResidualCBAM(face[i], spatial=i < 5) for i in range(6))
                audio = self.audio_encoder.stage_channels
                self.audio_cbam.extend(ResidualCBAM(audio[i], spatial=i < 3) for i in range(4))

    @staticmethod
    def _up(in_channels: int, out_channels: int, *, stride: int, num_residual: int) -> nn.Module:
        """Transposed block: 1x1 to 3x3 at stride 1, doubling at stride 2; then residual blocks."""
        padding = 1 if stride == 2 else 0
        return nn.Sequential(
            TransposedConvBlock(in_channels, out_channels, 3, stride, padding, padding),
            *residual_blocks(out_channels, num_residual),
        )

    def forward(self, mel_BTCML: torch.Tensor, faces_BTCHW: torch.Tensor) -> torch.Tensor:
        """Re-draw every frame for its own mel window.

        mel: float [B, T, 1, 80, 16] in [-4, 4]; faces: float [B, T, 6, 96, 96] in [0, 1], BGR, as
        from `face_input`. Returns float [B, T, 3, 96, 96] in [0, 1], BGR.
        """
        if mel_BTCML.shape[:2] != faces_BTCHW.shape[:2]:
            raise ValueError(
                "mel and faces must agree in batch and frames, got "
                f"{tuple(mel_BTCML.shape[:2])} and {tuple(faces_BTCHW.shape[:2])}"
            )
        frames_NCHW = self._generate(mel_BTCML.flatten(0, 1), faces_BTCHW.flatten(0, 1))
        return frames_NCHW.unflatten(0, faces_BTCHW.shape[:2])

    def _generate(self, mel_N1ML: torch.Tensor, faces_NCHW: torch.Tensor) -> torch.Tensor:
        if self.mel_lstm is not None:
            mel_N1ML = self.mel_lstm(mel_N1ML)
        audio_NC11 = self.audio_encoder(mel_N1ML, self.audio_cbam)

        skips: list[torch.Tensor] = []
        x_NCHW = faces_NCHW
        for index, stage in enumerate(self.face_stages):
            x_NCHW = stage(x_NCHW)
            if index < len(self.face_cbam):
                x_NCHW = self.face_cbam[index](x_NCHW)
            skips.append(x_NCHW)

        x_NCHW = audio_NC11
        for stage in self.decoder_stages:
            x_NCHW = torch.cat((stage(x_NCHW), skips.pop()), dim=1)
        return torch.sigmoid(self.output(x_NCHW).float())
