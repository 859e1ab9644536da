"""What tells one variant's training from another's: network, losses, adversary, optimiser.

Expert, clips, order of the data, number of steps and seen frames, learning rate and running average are the same for
all. Adam's betas are, as published, ``params.yaml``'s with the quality discriminator and Adam's own without. Only
Wav2Lip's network, arm or rival, uses `losses`, and it alone can start its audio encoder from the expert's
(`audio_start`): LipGAN and Speech2Vid have other audio encoders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch

from models.baselines.lipgan import LipGANConfig
from models.baselines.speech2vid import Speech2VidConfig
from models.generator import GeneratorConfig
from pipeline.inference.generator_kinds import LIPGAN, OURS, SPEECH2VID, GeneratorKind
from pipeline.params import LipGanVariant, TrainGanParams, VariantParams, Wav2LipVariant
from pipeline.training.adversaries import Adversary, LossWeights, QualityAdversary, SyncAdversary
from pipeline.training.schedule import full_from, weights_at, without

ADAM_BETAS = (0.9, 0.999)
"""LipGAN's, Speech2Vid's and, without its quality discriminator, Wav2Lip's, which leave Adam as it comes."""


@dataclass(frozen=True)
class Recipe:
    """One variant of ``params.yaml``, ready to be trained."""

    kind: GeneratorKind
    config: GeneratorConfig | LipGANConfig | Speech2VidConfig
    loss_weights: Callable[[int | None], LossWeights]
    """Loss weights at a step, or for None once everything is on."""
    full_from: int
    """After so many steps every loss has had its whole weight."""
    betas: tuple[float, float]
    build_adversary: Callable[[torch.device], Adversary] | None

    @property
    def uses_expert(self) -> bool:
        """Whether a loss of its asks the expert."""
        full = self.loss_weights(None)
        return full.get("sync", 0.0) + full.get("perceptual", 0.0) > 0

    def build(self) -> torch.nn.Module:
        """The untrained network."""
        return self.kind.build(asdict(self.config))


def recipe_of(params: TrainGanParams, variant: VariantParams) -> Recipe:
    """The training that ``params.yaml`` describes for a variant."""
    if isinstance(variant, Wav2LipVariant):
        losses = params.losses
        if not variant.use_discriminator:
            losses = without(losses, "adversarial", "feature_matching")
        if not variant.use_further_losses:
            losses = without(losses, "perceptual", "feature_matching", "temporal", "mouth")
        config = GeneratorConfig(
            width=params.width,
            use_lstm=variant.use_lstm,
            use_cbam=variant.use_cbam,
            lstm_over=params.lstm_over,
            use_decoder_cbam=params.use_decoder_cbam,
        )
        has_adversary = losses.adversarial.weight > 0
        quality = partial(QualityAdversary, params) if has_adversary else None
        betas = params.betas if has_adversary else ADAM_BETAS
        return Recipe(OURS, config, partial(weights_at, losses), full_from(losses), betas, quality)
    if isinstance(variant, LipGanVariant):
        weights = {"l1": 1.0, "contrastive": variant.contrastive_weight}
        sync = partial(SyncAdversary, params)
        return Recipe(LIPGAN, LipGANConfig(width=params.width), lambda step: weights, 0, ADAM_BETAS, sync)
    return Recipe(SPEECH2VID, Speech2VidConfig(width=params.width), lambda step: {"l1": 1.0}, 0, ADAM_BETAS, None)
