"""Discriminators that are trained beside a generator.

Legend: B clips, T frames, N = B*T folded batch, C channels, H W pixels, F audio features, L steps.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch

from models.adversarial import AdversarialLoss
from models.baselines.lipgan_discriminator import LipGANDiscriminator, SyncAdversarialLoss
from models.discriminator import QualityDiscriminator
from models.losses import lower_half
from pipeline.params import TrainGanParams
from pipeline.training.loop import scale_learning_rate
from pipeline.training.precision import autocast

Weights = dict[str, float]
Terms = dict[str, torch.Tensor]
LIPGAN_BETAS = (0.9, 0.999)


class Adversary(Protocol):
    """What a generator is trained against."""

    def learn(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        audio_BTCFL: torch.Tensor,
        weights: Weights,
        rate: float,
    ) -> tuple[Terms, Terms]:
        """One step of the discriminator, once its weight is on, at ``rate`` times its learning rate; the generator's
        loss terms, and scalars to log."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class QualityAdversary:
    """Wav2Lip's: is this lower half a picture of a face? (sec. 3.4) Terms: adversarial, feature_matching."""

    def __init__(self, params: TrainGanParams, device: torch.device) -> None:
        self._params, self._device = params, device
        discriminator = QualityDiscriminator(params.discriminator_width)
        discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(
            discriminator.parameters(), lr=params.discriminator_learning_rate, betas=params.betas
        )
        self._loss = AdversarialLoss(discriminator, optimiser)

    def learn(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        audio_BTCFL: torch.Tensor,
        weights: Weights,
        rate: float,
    ) -> tuple[Terms, Terms]:
        if weights["adversarial"] == 0:
            return {}, {}
        scale_learning_rate(self._loss.optimizer, rate)
        fake_NCHW, real_NCHW = (lower_half(faces).flatten(0, 1) for faces in (generated_BTCHW, target_BTCHW))
        with autocast(self._params.precision, self._device):
            scalars = self._loss.train_adv(fake_NCHW, real_NCHW)
            if weights["feature_matching"] == 0:
                return {"adversarial": self._loss(fake_NCHW)}, scalars
            adversarial, matching = self._loss.with_matching(fake_NCHW, real_NCHW)
        return {"adversarial": adversarial, "feature_matching": matching}, scalars

    def state_dict(self) -> dict[str, Any]:
        return self._loss.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loss.load_state_dict(state)


class SyncAdversary:
    """LipGAN's: does this face belong to this sound? Term: contrastive."""

    def __init__(self, params: TrainGanParams, device: torch.device) -> None:
        self._params, self._device = params, device
        discriminator = LipGANDiscriminator(params.discriminator_width)
        discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(
            discriminator.parameters(), lr=params.discriminator_learning_rate, betas=LIPGAN_BETAS
        )
        self._loss = SyncAdversarialLoss(discriminator, optimiser)

    def learn(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        audio_BTCFL: torch.Tensor,
        weights: Weights,
        rate: float,
    ) -> tuple[Terms, Terms]:
        if weights["contrastive"] == 0:
            return {}, {}
        scale_learning_rate(self._loss.optimizer, rate)
        fake_NCHW, real_NCHW, mel_N1ML = (part.flatten(0, 1) for part in (generated_BTCHW, target_BTCHW, audio_BTCFL))
        with autocast(self._params.precision, self._device):
            scalars = self._loss.train_adv(fake_NCHW, real_NCHW, mel_N1ML)
            return {"contrastive": self._loss(fake_NCHW, mel_N1ML)}, scalars

    def state_dict(self) -> dict[str, Any]:
        return self._loss.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loss.load_state_dict(state)
