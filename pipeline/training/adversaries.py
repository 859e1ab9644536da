"""Discriminators that are trained together with a generator.

Legend: B clips, T frames, N = B*T folded batch, C channels, H W pixels, S side of the faces in pixels, F audio
features, L steps.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import torch

from models.adversarial import AdversarialLoss, TrainedAdversary
from models.baselines.lipgan_discriminator import LipGANDiscriminator, SyncAdversarialLoss
from models.choices import FACE_SIZE_PX, MelSteps
from models.discriminator import QualityDiscriminator
from models.face_sizes import resize_by_area
from models.losses import lower_half
from pipeline.inference.device import autocast
from pipeline.params import TrainGanParams
from pipeline.training.optimiser_step import scale_learning_rate

LossWeights = dict[str, float]
Terms = dict[str, torch.Tensor]
ADAM_BETAS = (0.9, 0.999)
"""Adam's defaults, which LipGAN, Speech2Vid, and Wav2Lip without its quality discriminator use."""


class Adversary(Protocol):
    """A discriminator with its optimiser, and the generator's loss terms that depend on it."""

    def train_step(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        audio_BTCFL: torch.Tensor,
        weights: LossWeights,
        rate_factor: float,
    ) -> tuple[Terms, Terms]:
        """Train the discriminator for one step.

        Returns the generator's loss terms (scalars with gradient) and detached scalars to log. Both are empty, and
        nothing is trained, while the weight of the adversarial or contrastive term is 0. Faces: float
        [B, T, 3, S, S] in [0, 1], BGR; no gradient of the discriminator's loss reaches them. Audio: float
        [B, T, 1, F, L], the generator's input. ``rate_factor``: factor of ``discriminator_learning_rate``. Raises
        FloatingPointError if the discriminator's loss is not finite.
        """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


Loss = TypeVar("Loss", bound=TrainedAdversary)
Network = TypeVar("Network", bound=torch.nn.Module)


class _Trained(Generic[Loss]):
    """Base of the adversaries: settings, device, and the loss, which holds the discriminator and its optimiser."""

    def __init__(self, params: TrainGanParams, device: torch.device, loss: Loss) -> None:
        self._params, self._device, self._loss = params, device, loss

    def state_dict(self) -> dict[str, Any]:
        return self._loss.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loss.load_state_dict(state)


def _with_adam(
    discriminator: Network, params: TrainGanParams, device: torch.device, betas: tuple[float, float]
) -> tuple[Network, torch.optim.Optimizer]:
    discriminator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return discriminator, torch.optim.Adam(discriminator.parameters(), params.discriminator_learning_rate, betas)


class QualityAdversary(_Trained[AdversarialLoss]):
    """Wav2Lip's quality discriminator, which classifies lower halves as real or generated (sec. 3.4).

    Terms: adversarial, feature_matching. The discriminator is updated before the generator's loss is computed. In
    Wav2Lip's code the order is reversed.
    """

    def __init__(self, params: TrainGanParams, device: torch.device) -> None:
        discriminator = QualityDiscriminator(params.discriminator_width)
        super().__init__(params, device, AdversarialLoss(*_with_adam(discriminator, params, device, params.betas)))

    def train_step(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        audio_BTCFL: torch.Tensor,
        weights: LossWeights,
        rate_factor: float,
    ) -> tuple[Terms, Terms]:
        if weights["adversarial"] == 0:
            return {}, {}
        scale_learning_rate(self._loss.optimiser, rate_factor)
        fake_NCHW, real_NCHW = (lower_half(faces).flatten(0, 1) for faces in (generated_BTCHW, target_BTCHW))
        with autocast(self._params.precision, self._device):
            scalars = self._loss.train_discriminator(fake_NCHW, real_NCHW)
            if weights["feature_matching"] == 0:
                return {"adversarial": self._loss(fake_NCHW)}, scalars
            adversarial, matching = self._loss.with_matching(fake_NCHW, real_NCHW)
        return {"adversarial": adversarial, "feature_matching": matching}, scalars


class SyncAdversary(_Trained[SyncAdversarialLoss]):
    """LipGAN's discriminator, which classifies pairs of face and audio as in sync or not. Term: contrastive.

    Its faces have 96 pixels; others are resized. Its mel windows are the generator's, with ``mel_steps`` steps.
    """

    def __init__(self, params: TrainGanParams, mel_steps: MelSteps, device: torch.device) -> None:
        discriminator = LipGANDiscriminator(params.discriminator_width, mel_steps)
        super().__init__(params, device, SyncAdversarialLoss(*_with_adam(discriminator, params, device, ADAM_BETAS)))

    def train_step(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        audio_BTCFL: torch.Tensor,
        weights: LossWeights,
        rate_factor: float,
    ) -> tuple[Terms, Terms]:
        if weights["contrastive"] == 0:
            return {}, {}
        scale_learning_rate(self._loss.optimiser, rate_factor)
        fake_NCHW, real_NCHW, mel_N1ML = (part.flatten(0, 1) for part in (generated_BTCHW, target_BTCHW, audio_BTCFL))
        fake_NCHW, real_NCHW = (resize_by_area(faces, FACE_SIZE_PX, FACE_SIZE_PX) for faces in (fake_NCHW, real_NCHW))
        with autocast(self._params.precision, self._device):
            scalars = self._loss.train_discriminator(fake_NCHW, real_NCHW, mel_N1ML)
            return {"contrastive": self._loss(fake_NCHW, mel_N1ML)}, scalars
