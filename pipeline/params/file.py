"""The whole of ``params.yaml``: loading, and validation across sections."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, field_validator, model_validator

from pipeline.core.choices import BOUNDS, JUDGE_NAMES
from pipeline.params.clips import DatasetParams, PreprocessParams, SyncFilterParams
from pipeline.params.explain import explained
from pipeline.params.scoring import (
    CompareParams,
    DriftParams,
    EvaluateParams,
    PromoteParams,
    RuntimeParams,
    ShareParams,
    WeightsParams,
)
from pipeline.params.training import (
    LipGanVariant,
    TrainEvaluatorParams,
    TrainGanParams,
    TrainSyncnetParams,
    VariantParams,
    Wav2LipVariant,
)
from pipeline.params.values import ParamsError, Section, Seed


class Params(Section):
    """The whole of ``params.yaml``."""

    profile: str
    seed: Seed
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
    drift: DriftParams
    share: ShareParams
    weights: WeightsParams
    runtime: RuntimeParams

    @property
    def named_files(self) -> list[tuple[str, Path, str]]:
        """(key, path, what else is allowed) of each setting that names a file or folder. The file may not exist."""
        weights = self.evaluate.lse.weights
        listed = [
            (
                "evaluate.lse.weights",
                weights if isinstance(weights, Path) else None,
                f"it must be {' or '.join(JUDGE_NAMES)}, null, or the path of syncnet_v2.model, which `python -m "
                "pipeline weights fetch syncnet_v2` downloads",
            ),
            ("evaluate.pairs", self.evaluate.pairs, "it must be null or the path of a list of pairs"),
            (
                "sync_filter.scorer",
                self.sync_filter.scorer,
                "`python -m pipeline freeze-scorer` makes a scorer and sets it; null, also in scorer_sha256, keeps "
                "all clips unchanged",
            ),
        ]
        return [(key, path, allowed) for key, path, allowed in listed if path is not None]

    @field_validator("variants")
    @classmethod
    def _names_are_valid(cls, variants: dict[str, VariantParams]) -> dict[str, VariantParams]:
        if not variants:
            raise ValueError("must have at least one variant")
        for name in variants:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name in BOUNDS:
                raise ValueError(
                    f"{name!r} cannot name a variant: use letters, digits, _ and - only; "
                    f"{' and '.join(BOUNDS)} are reserved for rows of every comparison"
                )
        folders: dict[str, str] = {}
        for name in variants:
            if folders.setdefault(name.lower(), name) != name:
                raise ValueError(
                    f"{folders[name.lower()]} and {name} differ in case only, and some file systems ignore case; "
                    "rename one of them"
                )
        return variants

    @model_validator(mode="after")
    def _widths_are_equal(self) -> Params:
        gan, expert = self.train_gan, self.train_syncnet
        uses_it = any(isinstance(variant, Wav2LipVariant) for variant in self.variants.values())
        if gan.audio_start == "expert" and uses_it and gan.width != expert.width:
            raise ValueError(
                f"train_gan.audio_start expert needs equal widths, but train_gan.width is {gan.width} and "
                f"train_syncnet.width is {expert.width}; make them equal, or set train_gan.audio_start to random"
            )
        return self

    @model_validator(mode="after")
    def _has_clips_for_long_windows(self) -> Params:
        gan = self.train_gan
        least = 2 * gan.window_frames + gan.min_reference_gap_frames - 5
        if self.preprocess.min_frames < least:
            raise ValueError(
                f"train_gan.window_frames {gan.window_frames} and its reference need clips of {least} frames, but "
                f"preprocess.min_frames is {self.preprocess.min_frames}; raise it, or lower train_gan.window_frames"
            )
        return self

    @model_validator(mode="after")
    def _has_clips_for_several_windows(self) -> Params:
        # The evaluator's MFCC extend into a sixth frame.
        for name, window_frames in (("train_syncnet", 5), ("train_evaluator", 6)):
            section = getattr(self, name)
            least = (section.windows_per_clip - 1) * section.min_gap_frames + window_frames
            if self.preprocess.min_frames < least:
                raise ValueError(
                    f"{name}.windows_per_clip {section.windows_per_clip} and min_gap_frames {section.min_gap_frames} "
                    f"need clips of {least} frames, but preprocess.min_frames is {self.preprocess.min_frames}; raise "
                    f"it, or lower {name}.windows_per_clip or min_gap_frames"
                )
        return self

    @model_validator(mode="after")
    def _batches_divide_evenly(self) -> Params:
        num = self.runtime.num_processes
        parts = {"train_syncnet": num, "train_evaluator": num, "train_gan": num * self.train_gan.micro_batches}
        unequal = []
        for name, factor in parts.items():
            clips = getattr(self, name).clips_per_batch
            if clips % factor:
                fitting = " or ".join(str(multiple) for multiple in _multiples_around(clips, factor))
                unequal.append(f"{name}.clips_per_batch {clips} into {factor} (set it to {fitting})")
        if unequal:
            raise ValueError(
                f"runtime.num_processes {num} and train_gan.micro_batches {self.train_gan.micro_batches} do not divide "
                f"batches evenly: {', '.join(unequal)}"
            )
        return self

    @model_validator(mode="after")
    def _has_other_audio_for_lipgan(self) -> Params:
        gan = self.train_gan
        has_lipgan = any(isinstance(variant, LipGanVariant) for variant in self.variants.values())
        if has_lipgan and gan.clips_per_batch // gan.micro_batches < 2:
            raise ValueError(
                f"train_gan.micro_batches {gan.micro_batches} leaves one clip per micro-batch, but LipGAN's "
                "discriminator needs the audio of another clip of it; lower train_gan.micro_batches, or raise "
                "train_gan.clips_per_batch"
            )
        return self

    @model_validator(mode="after")
    def _has_other_audio_for_the_sync_loss(self) -> Params:
        gan = self.train_gan
        num_candidates = gan.clips_per_batch // gan.micro_batches * gan.window_frames // 5 * (1 + gan.sync_negatives)
        if gan.sync_objective == "infonce" and gan.losses.sync.weight > 0 and num_candidates < 2:
            raise ValueError(
                f"train_gan.micro_batches {gan.micro_batches} leaves one window per micro-batch and "
                "train_gan.sync_negatives is 0, so the sync loss has no negative audio; raise train_gan.sync_negatives"
            )
        return self

    @model_validator(mode="after")
    def _trainings_differ(self) -> Params:
        first: dict[str, str] = {}
        for name, variant in self.variants.items():
            seed = self.seed if variant.seed is None else variant.seed
            training = repr(variant.model_copy(update={"seed": seed}))
            if first.setdefault(training, name) != name:
                raise ValueError(
                    f"variants.{name} repeats the training of variants.{first[training]}, with the same seed {seed}; "
                    "change its seed or another setting, or remove it"
                )
        return self

    @model_validator(mode="after")
    def _promotes_a_variant(self) -> Params:
        if self.promote.variant not in self.variants:
            raise ValueError(
                f"promote.variant is {self.promote.variant!r}, which must be one of the variants: "
                f"{', '.join(self.variants)}"
            )
        return self

    def require_variant(self, name: str) -> None:
        """Raise ParamsError, with the list of variants, if ``variants`` does not have ``name``."""
        if name not in self.variants:
            raise ParamsError(f"no variant {name!r} in params.yaml; its variants are {', '.join(self.variants)}")


def _multiples_around(number: int, factor: int) -> list[int]:
    below = number // factor * factor
    return [multiple for multiple in (below, below + factor) if multiple > 0]


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader that raises for a repeated key. PyYAML silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[Any, int] = {}
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    problem=f"{key} cannot be a key; check for doubled braces", problem_mark=key_node.start_mark
                )
            if first.setdefault(key, line) != line:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key} is repeated, in lines {first[key]} and {line}", problem_mark=key_node.start_mark
                )
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_params_text(path: Path) -> str:
    """The text of ``params.yaml`` with its line endings. Raises ParamsError if it is missing or cannot be read."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist; run `git restore params.yaml` for the default one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from None


def load_params(path: Path) -> Params:
    """Load and validate ``params.yaml``.

    Raises ParamsError with every wrong key and its value, and with the most similar valid key for an unknown one.
    """
    try:
        content = yaml.load(read_params_text(path), _UniqueKeys)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must contain sections, not a value of type {type(content).__name__}")
    return parse_params(content, str(path))


def parse_params(content: dict[str, Any], source: str = "params.yaml") -> Params:
    """Validate parsed YAML. Errors name ``source``. Raises ParamsError as ``load_params`` does."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = explained(error, Params)
        if len(lines) == 1:
            raise ParamsError(f"{source}: {lines[0]}") from None
        raise ParamsError("\n".join([f"{source}:", *(f"  {line}" for line in lines)])) from None
