"""Sections ``train_syncnet``, ``train_evaluator``, ``train_gan`` and ``variants``."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from models.choices import CbamIn, FacePx, LstmOver, MelWindow, Predicts
from pipeline.core.choices import AudioStart, Augment, Keep, Precision, SyncObjective
from pipeline.params.values import (
    BelowOne,
    Fraction,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Section,
    Seed,
)


class _TrainingParams(Section):
    width: Annotated[float, Field(gt=0, le=4)]
    num_steps: PositiveInt
    clips_per_batch: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    warmup_steps: NonNegativeInt
    grad_clip: Positive
    precision: Precision
    validate_every: PositiveInt
    keep: Keep
    patience: NonNegativeInt
    checkpoint_every: PositiveInt


class _ContrastiveParams(_TrainingParams):
    windows_per_clip: PositiveInt
    min_gap_frames: PositiveInt
    weight_decay: NonNegative
    num_validation_pairs: Annotated[int, Field(ge=16)]


class TrainSyncnetParams(_ContrastiveParams):
    objective: SyncObjective
    augment: Augment
    dropout: BelowOne
    embedding_dim: PositiveInt
    temperature: Positive

    @model_validator(mode="after")
    def _has_negatives(self) -> TrainSyncnetParams:
        if self.objective == "bce" and self.windows_per_clip < 2:
            raise ValueError("objective bce takes negatives from the same clip: windows_per_clip must be at least 2")
        return self


class TrainEvaluatorParams(_ContrastiveParams):
    augment: Augment


class LossParams(Section):
    """A term of the generator's loss. ``pipeline.training.loss_weights`` computes its weight at each step."""

    weight: NonNegative
    start_step: NonNegativeInt
    ramp_steps: NonNegativeInt


class LossesParams(Section):
    sync: LossParams
    adversarial: LossParams
    perceptual: LossParams
    feature_matching: LossParams
    temporal: LossParams
    mouth: LossParams

    @model_validator(mode="after")
    def _leaves_reconstruction(self) -> LossesParams:
        if self.sync.weight + self.adversarial.weight >= 1:
            raise ValueError("sync.weight + adversarial.weight must be below 1: the remainder is the weight of L1")
        return self

    @model_validator(mode="after")
    def _discriminator_is_trained(self) -> LossesParams:
        if self.feature_matching.weight > 0 and self.adversarial.weight == 0:
            raise ValueError(
                "feature_matching compares features of the discriminator, which is only trained with "
                "adversarial.weight above 0; set that, or feature_matching.weight to 0"
            )
        return self


class TrainGanParams(_TrainingParams):
    face_px: FacePx
    ema_decay: BelowOne
    window_frames: Annotated[int, Field(ge=5, le=25, multiple_of=5)]
    predicts: Predicts
    mel_window: MelWindow
    lstm_over: LstmOver
    cbam_in: CbamIn
    cbam_reduction: PositiveInt
    micro_batches: PositiveInt
    discriminator_width: Annotated[float, Field(gt=0, le=4)]
    discriminator_learning_rate: Positive
    betas: tuple[BelowOne, BelowOne]
    min_reference_gap_frames: Annotated[int, Field(ge=5)]
    augment: bool
    audio_start: AudioStart
    sync_objective: SyncObjective
    sync_negatives: NonNegativeInt
    sync_temperature: Positive
    losses: LossesParams
    min_expert_accuracy: Fraction
    num_validation_windows: PositiveInt

    @model_validator(mode="after")
    def _starts_before_the_end(self) -> TrainGanParams:
        for name, loss in self.losses:
            if loss.weight > 0 and loss.start_step >= self.num_steps:
                raise ValueError(
                    f"losses.{name}.start_step {loss.start_step} must be below num_steps {self.num_steps}: the loss "
                    f"would never be active; lower start_step, or set the weight to 0"
                )
            if loss.weight > 0 and loss.start_step + loss.ramp_steps > self.num_steps:
                raise ValueError(
                    f"losses.{name}.start_step {loss.start_step} + ramp_steps {loss.ramp_steps} must be at most "
                    f"num_steps {self.num_steps}: the loss would never reach its full weight; lower one of the two"
                )
        return self


class _Variant(Section):
    seed: Seed | None


class Wav2LipVariant(_Variant):
    """Wav2Lip's network, with or without the paper's additions."""

    network: Literal["wav2lip"]
    use_lstm: bool
    use_cbam: bool
    use_discriminator: bool
    use_further_losses: bool


class LipGanVariant(_Variant):
    network: Literal["lipgan"]
    contrastive_weight: NonNegative


class Speech2VidVariant(_Variant):
    network: Literal["speech2vid"]


VariantParams = Annotated[Wav2LipVariant | LipGanVariant | Speech2VidVariant, Field(discriminator="network")]
VARIANT_OF: dict[str, type[Section]] = {
    network: declared
    for declared in get_args(get_args(VariantParams)[0])
    for network in get_args(declared.model_fields["network"].annotation)
}
"""Declaration by the value of ``network``."""
