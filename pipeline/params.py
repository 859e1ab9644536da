"""``params.yaml`` as frozen, validated objects.

The file is the only source of values: nothing here has a default, so a key missing from the file is an error too.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline.transfer.credentials import redacted

Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
MaybeZero = Annotated[int, Field(ge=0)]


def _plain_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password: give them in the environment or in ~/.netrc")
    return value


Address = Annotated[str, AfterValidator(_plain_address)]


def _without_secret(value: object) -> object:
    """A path, or the address of remote storage, as text."""
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and "://" in text:
        if "::" in text:
            raise ValueError("must be a plain address such as s3://bucket/videos, not a chain of them")
        if urlsplit(text).password is not None:
            raise ValueError("must not hold a password: give it in the environment, as the storage's driver documents")
    return text


Place = Annotated[str, BeforeValidator(_without_secret)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Source = Literal["demo", "grid", "lrs2", "folder"]
Precision = Literal["auto", "fp32", "bf16"]
Augment = Literal["light", "strong"]
LsePrecision = Literal["fp32", "bf16"]
RESERVED_VARIANTS = ("real", "copy_input")
"""Rows of every comparison that need no generator."""


class ParamsError(ValueError):
    """``params.yaml`` is not usable; the text names the key, the value and what is allowed."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DemoParams(_Section):
    num_speakers: Annotated[int, Field(ge=3)]
    num_clips_per_speaker: Count
    clip_seconds: Annotated[float, Field(ge=1, le=30)]
    size_px: Annotated[int, Field(ge=96, le=512, multiple_of=2)]
    num_val_speakers: Count
    num_test_speakers: Count

    @model_validator(mode="after")
    def _leaves_training_speakers(self) -> DemoParams:
        if self.num_val_speakers + self.num_test_speakers >= self.num_speakers:
            raise ValueError(
                f"num_val_speakers {self.num_val_speakers} + num_test_speakers {self.num_test_speakers} "
                f"leave no training speaker out of num_speakers {self.num_speakers}"
            )
        return self


class _Fractions(_Section):
    val_fraction: Fraction
    test_fraction: Fraction

    @model_validator(mode="after")
    def _leaves_training_clips(self) -> _Fractions:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction + test_fraction must be below 1")
        return self


class GridParams(_Fractions):
    root: Path | None
    url: Address | None
    keep_archives: bool
    speakers: tuple[str, ...]
    split_by: Literal["clip", "speaker"]


class Lrs2Params(_Section):
    root: Path | None
    url: Address | None
    archives: Annotated[tuple[FileName, ...], Field(min_length=1)]
    md5: dict[FileName, Md5]
    keep_archives: bool


class FolderParams(_Fractions):
    root: Place | None
    metadata: Path | None
    split_by: Literal["clip", "speaker"]


class DatasetParams(_Section):
    source: Source
    demo: DemoParams
    grid: GridParams
    lrs2: Lrs2Params
    folder: FolderParams


class PreprocessParams(_Section):
    clips_per_shard: Count
    detector_score: Fraction
    detector_max_px: Annotated[int, Field(ge=64)]
    detect_every: Count
    max_gap_frames: MaybeZero
    smooth_frames: Count
    cut_change: NonNegative
    choose_face: Literal["speaking", "largest"]
    min_face_px: MaybeZero
    min_sharpness: NonNegative
    min_frames: Annotated[int, Field(ge=12)]
    max_clip_s: Positive
    max_length_mismatch_s: NonNegative
    min_audio_rms: NonNegative
    context_px: Annotated[int, Field(ge=96, le=512)]
    jpeg_quality: Annotated[int, Field(ge=50, le=100)]

    @model_validator(mode="after")
    def _cuts_into_clips_that_are_long_enough(self) -> PreprocessParams:
        least_s = 2 * self.min_frames / 25
        if self.max_clip_s < least_s:
            raise ValueError(
                f"max_clip_s {self.max_clip_s} must be at least {least_s:g}, twice min_frames {self.min_frames} at 25 "
                "fps: a longer clip is cut into equal parts"
            )
        return self


class SyncFilterParams(_Section):
    scorer: Path | None
    scorer_sha256: Sha256 | None
    splits: tuple[Literal["train", "val", "test"], ...]
    max_shift_frames: Count
    min_offset_frames: Count
    max_offset_frames: MaybeZero
    min_confidence: float

    @model_validator(mode="after")
    def _knows_its_scorer(self) -> SyncFilterParams:
        if (self.scorer is None) != (self.scorer_sha256 is None):
            raise ValueError("scorer and scorer_sha256 belong together; `python -m pipeline freeze-scorer` sets both")
        return self

    @model_validator(mode="after")
    def _measures_what_it_allows(self) -> SyncFilterParams:
        if self.max_offset_frames >= self.max_shift_frames:
            raise ValueError(
                f"max_offset_frames {self.max_offset_frames} must be below max_shift_frames {self.max_shift_frames}: "
                "an offset at the edge of what is looked at may be larger"
            )
        return self


class _TrainingParams(_Section):
    width: Annotated[float, Field(gt=0, le=4)]
    num_steps: Count
    clips_per_batch: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    warmup_steps: MaybeZero
    grad_clip: Positive
    precision: Precision
    validate_every: Count
    keep: Literal["best", "last"]
    patience: MaybeZero
    checkpoint_every: Count


class _ContrastiveParams(_TrainingParams):
    windows_per_clip: Count
    min_gap_frames: Count
    weight_decay: NonNegative
    num_validation_pairs: Annotated[int, Field(ge=16)]


class TrainSyncnetParams(_ContrastiveParams):
    objective: Literal["infonce", "bce"]
    augment: Augment
    dropout: BelowOne
    embedding_dim: Count
    temperature: Positive

    @model_validator(mode="after")
    def _has_negatives(self) -> TrainSyncnetParams:
        if self.objective == "bce" and self.windows_per_clip < 2:
            raise ValueError("objective bce takes its negatives from the same clip: windows_per_clip must be 2 or more")
        return self


class TrainEvaluatorParams(_ContrastiveParams):
    pass


class LossParams(_Section):
    weight: NonNegative
    start_step: MaybeZero
    ramp_steps: MaybeZero

    def at(self, step: int) -> float:
        """The weight at a step: 0 before ``start_step``, then growing over ``ramp_steps``."""
        if step < self.start_step:
            return 0.0
        return (
            self.weight
            if self.ramp_steps == 0
            else self.weight * min(1.0, (step - self.start_step + 1) / self.ramp_steps)
        )


class LossesParams(_Section):
    sync: LossParams
    adversarial: LossParams
    perceptual: LossParams
    feature_matching: LossParams
    temporal: LossParams

    @model_validator(mode="after")
    def _leaves_reconstruction(self) -> LossesParams:
        if self.sync.weight + self.adversarial.weight >= 1:
            raise ValueError("the weights of sync and adversarial must be below 1 together: the rest is L1's share")
        return self

    @model_validator(mode="after")
    def _matches_a_trained_discriminator(self) -> LossesParams:
        if self.feature_matching.weight > 0 and self.adversarial.weight == 0:
            raise ValueError("feature_matching compares the discriminator's features: it needs an adversarial.weight")
        return self

    def without(self, *names: str) -> LossesParams:
        """The same with these terms left out."""
        return self.model_copy(update={name: getattr(self, name).model_copy(update={"weight": 0.0}) for name in names})

    def weights(self, step: int | None = None) -> dict[str, float]:
        """Each term's weight at a step, L1's included; None: once everything is on."""
        weights = {name: loss.weight if step is None else loss.at(step) for name, loss in self}
        return {"l1": 1.0 - weights["sync"] - weights["adversarial"]} | weights


class TrainGanParams(_TrainingParams):
    ema_decay: BelowOne
    window_frames: Annotated[int, Field(ge=5, le=25, multiple_of=5)]
    lstm_over: Literal["mel", "frames"]
    use_decoder_cbam: bool
    discriminator_width: Annotated[float, Field(gt=0, le=4)]
    discriminator_learning_rate: Positive
    betas: tuple[BelowOne, BelowOne]
    min_reference_gap_frames: Annotated[int, Field(ge=5)]
    augment: bool
    audio_start: Literal["expert", "random"]
    sync_objective: Literal["infonce", "bce"]
    sync_negatives: MaybeZero
    sync_temperature: Positive
    losses: LossesParams
    min_expert_accuracy: Fraction
    num_validation_windows: Count

    @model_validator(mode="after")
    def _starts_before_the_end(self) -> TrainGanParams:
        for name, loss in self.losses:
            if loss.weight > 0 and loss.start_step >= self.num_steps:
                raise ValueError(
                    f"losses.{name}.start_step {loss.start_step} is not below num_steps {self.num_steps}: that loss "
                    f"would never be on; lower it, or set its weight to 0"
                )
        return self


class _Variant(_Section):
    seed: MaybeZero | None


class Wav2LipVariant(_Variant):
    """Wav2Lip's network, with the paper's additions or without."""

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
VARIANT_OF: dict[str, type[_Section]] = {
    "wav2lip": Wav2LipVariant,
    "lipgan": LipGanVariant,
    "speech2vid": Speech2VidVariant,
}


class LseParams(_Section):
    weights: Path | None
    vshift_frames: Count
    precision: LsePrecision


class FidParams(_Section):
    every_n_frames: Count
    max_frames: Annotated[int, Field(ge=2)]


class EvaluateParams(_Section):
    lse: LseParams
    fid: FidParams
    pairs: Path | None
    reference: Literal["same", "first"]
    max_clips: MaybeZero
    num_strips: MaybeZero
    num_probes: MaybeZero

    @model_validator(mode="after")
    def _has_foreign_audio(self) -> EvaluateParams:
        if self.max_clips == 1:
            raise ValueError("max_clips must be 0 (all) or at least 2: every clip gets the audio of another one")
        return self


class CompareParams(_Section):
    confidence: Annotated[float, Field(gt=0, lt=1)]
    num_resamples: Count


class PromoteParams(_Section):
    variant: str
    min_lse_d_gain: float
    max_fid_increase: NonNegative


class RuntimeParams(_Section):
    num_workers: MaybeZero
    num_processes: Count
    num_connections: Annotated[int, Field(ge=1, le=16)]
    device: Literal["auto", "cpu", "cuda"]
    num_threads: MaybeZero
    log_every_steps: Count
    retrain_cron: str


class PublishedParams(_Section):
    urls: Annotated[tuple[Address, ...], Field(min_length=1)]
    size_bytes: Count | None
    sha256: Sha256 | None


class WeightsParams(_Section):
    syncnet_v2: PublishedParams
    syncnet_example: PublishedParams


class Params(_Section):
    """The whole of ``params.yaml``."""

    profile: str
    seed: MaybeZero
    dataset: DatasetParams
    preprocess: PreprocessParams
    sync_filter: SyncFilterParams
    train_syncnet: TrainSyncnetParams
    train_evaluator: TrainEvaluatorParams
    train_gan: TrainGanParams
    variants: dict[str, VariantParams]
    evaluate: EvaluateParams
    compare: CompareParams
    promote: PromoteParams
    weights: WeightsParams
    runtime: RuntimeParams

    @field_validator("variants")
    @classmethod
    def _names_files(cls, variants: dict[str, VariantParams]) -> dict[str, VariantParams]:
        for name in variants:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name in RESERVED_VARIANTS:
                raise ValueError(
                    f"{name!r} cannot name a variant: letters, digits, _ and - only, and not "
                    f"{' or '.join(RESERVED_VARIANTS)}, which are rows of every comparison"
                )
        return variants

    @model_validator(mode="after")
    def _promotes_a_variant(self) -> Params:
        if self.promote.variant not in self.variants:
            raise ValueError(f"promote.variant is {self.promote.variant!r}; variants has {', '.join(self.variants)}")
        return self

    def repeats(self) -> dict[str, str]:
        """Variants that are another one again with another seed, and the first variant of which each is a repeat."""
        found: dict[str, str] = {}
        firsts: list[str] = []
        for name, variant in self.variants.items():
            again = variant.model_copy(update={"seed": None})
            same = [first for first in firsts if self.variants[first].model_copy(update={"seed": None}) == again]
            if same:
                found[name] = same[0]
            else:
                firsts.append(name)
        return found

    def require_variant(self, name: str) -> None:
        """Raises ParamsError, which lists the arms, for one that ``variants`` does not have."""
        if name not in self.variants:
            raise ParamsError(f"no variant {name!r} in params.yaml's variants; it has {', '.join(self.variants)}")


def load_params(path: Path) -> Params:
    """Read and check ``params.yaml``.

    Raises ParamsError naming each bad key, its value, and for an unknown key the nearest valid one.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist; `git restore params.yaml` brings the default back") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds {type(content).__name__}, not sections")
    return parse_params(content, str(path))


def parse_params(content: dict[str, Any], source: str = "params.yaml") -> Params:
    """Check already parsed content; ``source`` is named in errors."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = [_explain(dict(item)) for item in error.errors()]
        raise ParamsError("\n".join([f"{source}:", *(f"  {line}" for line in lines)])) from None


def _explain(item: dict[str, Any]) -> str:
    loc = item["loc"]
    if loc[:1] == ("variants",) and len(loc) > 2 and loc[2] in VARIANT_OF:  # pydantic names the network it read it as
        siblings, loc = list(VARIANT_OF[loc[2]].model_fields), loc[:2] + loc[3:]
    else:
        siblings = _siblings(loc)
    where = ".".join(str(part) for part in loc)
    if item["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(loc[-1]), siblings, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"{where}: unknown key{hint}"
    if item["type"] == "missing":
        return f"{where}: missing; `git show HEAD:params.yaml` has it, with a comment"
    if item["type"].startswith("union_tag"):
        return f"{where}.network: must be {', '.join(VARIANT_OF)} (given {item['ctx'].get('tag', 'nothing')})"
    message = item["msg"].removeprefix("Value error, ")
    return f"{where or 'params'}: {message}" + (f" (given {redacted(repr(item['input']))})" if where else "")


def _siblings(loc: tuple[Any, ...]) -> list[str]:
    model: Any = Params
    for part in loc[:-1]:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:  # below a key of the user's own, such as a variant
            return []
        model = field.annotation
        if not hasattr(model, "model_fields"):
            model = next((a for a in get_args(model) if hasattr(a, "model_fields")), model)
    return list(getattr(model, "model_fields", {}))
