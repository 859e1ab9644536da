"""Differences between the training runs of the variants: network, losses, adversary, optimiser.

Expert, clips, order of the data, number of steps and frames, learning rate and moving average are the same for all
variants. Variants with the quality discriminator use Adam's betas in ``params.yaml`` (Wav2Lip: 0.5 and 0.999), all
others Adam's defaults. The parameters `losses` and `audio_start` apply to variants with Wav2Lip's network only. LipGAN
and Speech2Vid have their own losses, and their audio encoders cannot be initialised with the expert's weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import assert_never

import torch

from models.baselines.lipgan import LipGANConfig
from models.baselines.speech2vid import Speech2VidConfig
from models.choices import LONG_MEL_STEPS, SHORT_MEL_STEPS, MelSteps, MelWindow
from models.generator import GeneratorConfig
from pipeline.inference.generator_kinds import SPEECH2VID, GeneratorKind, kind_of
from pipeline.params import LipGanVariant, Speech2VidVariant, TrainGanParams, VariantParams, Wav2LipVariant
from pipeline.training.adversaries import ADAM_BETAS, Adversary, LossWeights, QualityAdversary, SyncAdversary
from pipeline.training.loss_weights import full_from, weights_at, without


@dataclass(frozen=True)
class Recipe:
    """Training settings of one variant in ``params.yaml``."""

    kind: GeneratorKind
    config: GeneratorConfig | LipGANConfig | Speech2VidConfig
    loss_weights: Callable[[int | None], LossWeights]
    """Step -> loss weights. None -> full weights."""
    full_from: int
    """Number of steps after which every loss has had its full weight in at least one step."""
    betas: tuple[float, float]
    build_adversary: Callable[[torch.device], Adversary] | None

    @property
    def uses_expert(self) -> bool:
        """Whether a loss of the variant depends on the expert."""
        full = self.loss_weights(None)
        return full.get("sync", 0.0) + full.get("perceptual", 0.0) > 0

    def build(self) -> torch.nn.Module:
        """The untrained network."""
        return self.kind.build(asdict(self.config))


def recipe_of(params: TrainGanParams, variant: VariantParams) -> Recipe:
    """The training settings of a variant."""
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
            cbam_in=params.cbam_in,
            cbam_reduction=params.cbam_reduction,
            mel_steps=_mel_steps(params.mel_window, GeneratorConfig.mel_steps),
            predicts=params.predicts,
            face_px=params.face_px,
        )
        has_adversary = losses.adversarial.weight > 0
        quality = partial(QualityAdversary, params) if has_adversary else None
        betas = params.betas if has_adversary else ADAM_BETAS
        return Recipe(kind_of(config), config, partial(weights_at, losses), full_from(losses), betas, quality)
    if isinstance(variant, LipGanVariant):
        weights = {"l1": 1.0, "contrastive": variant.contrastive_weight}
        lipgan = LipGANConfig(
            width=params.width,
            predicts=params.predicts,
            face_px=params.face_px,
            mel_steps=_mel_steps(params.mel_window, LipGANConfig.mel_steps),
        )
        sync = partial(SyncAdversary, params, lipgan.mel_steps)
        return Recipe(kind_of(lipgan), lipgan, lambda step: weights, 0, ADAM_BETAS, sync)
    if isinstance(variant, Speech2VidVariant):
        still = Speech2VidConfig(width=params.width, face_px=params.face_px)
        return Recipe(SPEECH2VID, still, lambda step: {"l1": 1.0}, 0, ADAM_BETAS, None)
    assert_never(variant)


def _mel_steps(window: MelWindow, own: MelSteps) -> MelSteps:
    """``own``: the number of steps in the published network."""
    return {"own": own, "short": SHORT_MEL_STEPS, "long": LONG_MEL_STEPS}[window]
