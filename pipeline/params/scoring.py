"""Sections ``evaluate``, ``compare``, ``promote``, ``drift``, ``share``, ``weights`` and ``runtime``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.core.choices import Device, DriftAction, JudgeName, LsePrecision, Reference, Source
from pipeline.params.values import (
    Address,
    BranchName,
    Fraction,
    NonNegative,
    NonNegativeInt,
    PositiveInt,
    Section,
    Sha256,
)


class LseParams(Section):
    weights: JudgeName | Path | None
    vshift_frames: PositiveInt
    precision: LsePrecision


class FidParams(Section):
    every_n_frames: PositiveInt
    max_frames: Annotated[int, Field(ge=2)]


class EvaluateParams(Section):
    lse: LseParams
    fid: FidParams
    pairs: Path | None
    reference: Reference
    max_clips: NonNegativeInt
    num_strips: NonNegativeInt
    num_probes: NonNegativeInt

    @model_validator(mode="after")
    def _has_audio_of_another_clip(self) -> EvaluateParams:
        if self.max_clips == 1:
            raise ValueError("max_clips must be 0 (all) or at least 2: each clip is paired with another clip's audio")
        return self


class CompareParams(Section):
    confidence: Annotated[float, Field(gt=0, lt=1)]
    num_resamples: PositiveInt


class PromoteParams(Section):
    variant: str
    min_lse_d_gain: float
    max_within_one_frame_drop: Fraction
    max_fid_increase: NonNegative
    max_jitter_increase: NonNegative
    branch: BranchName | None


class DriftParams(Section):
    max_psi: NonNegative
    max_ks: Fraction
    then: DriftAction


class ShareParams(Section):
    clips: tuple[Source, ...]
    models: tuple[Source, ...]

    @model_validator(mode="after")
    def _keeps_licensed_clips(self) -> ShareParams:
        if "lrs2" in self.clips:
            raise ValueError("clips must not contain lrs2: the licence of LRS2 does not allow to pass on its videos")
        return self


class RuntimeParams(Section):
    num_workers: NonNegativeInt
    num_processes: PositiveInt
    num_jobs: NonNegativeInt
    num_connections: Annotated[int, Field(ge=1, le=16)]
    device: Device
    num_threads: NonNegativeInt
    log_every_steps: PositiveInt
    retrain_cron: str

    @model_validator(mode="after")
    def _has_several_jobs_or_several_processes(self) -> RuntimeParams:
        if self.num_jobs > 1 and self.num_processes > 1:
            raise ValueError(
                f"num_jobs is {self.num_jobs} and num_processes is {self.num_processes}: several training runs at "
                "a time cannot have several processes each; set one of the two to 1"
            )
        return self


class PublishedParams(Section):
    urls: Annotated[tuple[Address, ...], Field(min_length=1)]
    size_bytes: PositiveInt | None
    sha256: Sha256 | None


class WeightsParams(Section):
    syncnet_v2: PublishedParams
    syncnet_example: PublishedParams
