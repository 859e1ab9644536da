"""LipGAN's discriminator, which scores sync, and the generator's loss from it (Prajwal et al. 2019).

Legend: N folded batch, C channels, H W pixels, M=80 mel bins, L mel steps, D embedding.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from models.adversarial import TrainedAdversary, frozen
from models.baselines.lipgan import HALVING_STRIDES
from models.blocks import Size2d, scaled_channels, unit_length
from models.choices import LONG_MEL_STEPS, MelSteps
from models.parallel import roll_batch

LIPGAN_LEAKY_SLOPE = 0.2
MARGIN = 1.0
"""Distance from which the loss of an unsynced pair is 0; embeddings of unit length are at most 2 apart."""


class LipGANDiscriminator(nn.Module):
    """Distance of the embeddings of a face and a mel window, small in sync (12,288,512 parameters at width 1).

    It is trained together with the generator. Its input is one whole face. Each channel is normalised on its own;
    LipGAN's Keras layer also takes the moments over the channels. Layers before a normalisation have no bias, because
    the normalisation would remove it. ``mel_steps`` is L, as in the generator; the number of parameters does not depend
    on it.
    """

    def __init__(self, width: float = 1.0, mel_steps: MelSteps = LONG_MEL_STEPS) -> None:
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
            _normed(c128, c256, 3, HALVING_STRIDES[mel_steps], 1),  # 27x14; 27x16 for 16 steps
            _normed(c256, c256, 3, 1, 1),
            _normed(c256, c256, 3, (3, 2), 1),  # 9x7; 9x8
            _normed(c256, c512, 3, (3, 2), 1),  # 3x4
            nn.Conv2d(c512, c512, (3, 4)),  # 1x1
        )

    def forward(self, faces_NCHW: torch.Tensor, mel_N1ML: torch.Tensor) -> torch.Tensor:
        """faces float [N, 3, 96, 96] in [0, 1], BGR, and mel [N, 1, 80, L] -> distance float32 [N] in [0, 2]."""
        face_ND = unit_length(self.face_encoder(faces_NCHW))
        audio_ND = unit_length(self.audio_encoder(mel_N1ML))
        return torch.linalg.vector_norm(face_ND - audio_ND, dim=1)


def lipgan_contrastive_loss(distance_N: torch.Tensor, is_unsynced_N: torch.Tensor) -> torch.Tensor:
    """(1 - y) d^2 + y max(0, 1 - d)^2, mean over the batch, scalar float32; y is 0 in sync and 1 out of sync.

    distance: float [N] in [0, 2]; is_unsynced: bool or float [N]. The loss of LipGAN's generator is its L1 plus 0.01
    times this with y = 0. For its discriminator, y is 1 for generated faces and for real faces with other audio.
    Raises ValueError if the shapes differ.
    """
    if distance_N.shape != is_unsynced_N.shape:
        raise ValueError(f"shapes must agree, got {tuple(distance_N.shape)} and {tuple(is_unsynced_N.shape)}")
    distance_N = distance_N.float()
    y_N = is_unsynced_N.to(distance_N)
    return ((1 - y_N) * distance_N.square() + y_N * F.relu(MARGIN - distance_N).square()).mean()


class SyncAdversarialLoss(TrainedAdversary):
    """LipGAN's discriminator: `train_discriminator` trains it, `forward` returns the generator's loss."""

    discriminator: LipGANDiscriminator

    def forward(self, fake_NCHW: torch.Tensor, mel_N1ML: torch.Tensor) -> torch.Tensor:
        """Loss of generated faces [N, 3, 96, 96] with the label in sync, scalar; mel [N, 1, 80, L].

        No gradient reaches the discriminator.
        """
        with frozen(self.discriminator):
            distance_N = self.discriminator(fake_NCHW, mel_N1ML)
        return lipgan_contrastive_loss(distance_N, torch.zeros_like(distance_N))

    def train_discriminator(
        self, fake_NCHW: torch.Tensor, real_NCHW: torch.Tensor, mel_N1ML: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """One step on real and generated faces, float [N, 3, 96, 96] each, and mel float [N, 1, 80, L].

        Real faces with their own audio are the pairs in sync. The pairs out of sync are, with probability 1/2 each, the
        generated faces or real faces with the audio of half a batch further on. Returns `d_loss`, `d_synced` and
        `d_unsynced`. Raises FloatingPointError if the loss is not finite.
        """
        with torch.no_grad():
            is_generated = bool(torch.rand(()) < 0.5)
            other_N1ML = mel_N1ML if is_generated else roll_batch(mel_N1ML)
            other_NCHW = fake_NCHW.detach() if is_generated else real_NCHW
        synced_N = self.discriminator(real_NCHW, mel_N1ML)
        unsynced_N = self.discriminator(other_NCHW, other_N1ML)
        return self._learn(
            d_synced=lipgan_contrastive_loss(synced_N, torch.zeros_like(synced_N)),
            d_unsynced=lipgan_contrastive_loss(unsynced_N, torch.ones_like(unsynced_N)),
        )


def _normed(in_channels: int, out_channels: int, kernel: int, stride: Size2d, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
        nn.InstanceNorm2d(out_channels, affine=True),
        nn.LeakyReLU(LIPGAN_LEAKY_SLOPE, inplace=True),
    )
