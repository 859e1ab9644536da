"""Sections ``dataset``, ``preprocess`` and ``sync_filter``: the sources of clips, and which clips are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.core.choices import ChooseFace, CropGeometry, RolledFaces, Source, Split, SplitBy
from pipeline.params.values import (
    Address,
    FileName,
    Fraction,
    Location,
    Md5,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Section,
    Sha256,
)


class _Fractions(Section):
    val_fraction: Fraction
    test_fraction: Fraction

    @model_validator(mode="after")
    def _leaves_training_clips(self) -> _Fractions:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction + test_fraction must be below 1")
        return self


class DemoParams(_Fractions):
    num_speakers: PositiveInt
    num_clips_per_speaker: PositiveInt
    clip_seconds: Annotated[float, Field(ge=1, le=30)]
    size_px: Annotated[int, Field(ge=96, le=512, multiple_of=2)]
    head_motion: Annotated[float, Field(ge=0, le=2)]
    split_by: SplitBy

    @model_validator(mode="after")
    def _has_a_speaker_for_each_split(self) -> DemoParams:
        if self.split_by == "speaker" and self.num_speakers < 3:
            raise ValueError(f"num_speakers is {self.num_speakers}; with split_by speaker it must be at least 3")
        return self


class GridParams(_Fractions):
    root: Path | None
    url: Address | None
    keep_archives: bool
    speakers: tuple[str, ...]
    split_by: SplitBy


class Lrs2Params(Section):
    root: Path | None
    url: Address | None
    archives: Annotated[tuple[FileName, ...], Field(min_length=1)]
    md5: dict[FileName, Md5]
    keep_archives: bool


class FolderParams(_Fractions):
    root: Location | None
    metadata: Path | None
    split_by: SplitBy


class DatasetParams(Section):
    source: Source
    demo: DemoParams
    grid: GridParams
    lrs2: Lrs2Params
    folder: FolderParams

    @property
    def unset_root(self) -> str | None:
        """The key of the source's ``root`` if neither ``root`` nor ``url`` is set, else None."""
        if self.source == "demo":
            return None
        chosen = getattr(self, self.source)
        has_address = getattr(chosen, "url", None) is not None
        return None if chosen.root is not None or has_address else f"dataset.{self.source}.root"

    @property
    def how_to_set_root(self) -> str:
        """What to do about `unset_root`."""
        has_download = "url" in type(getattr(self, self.source)).model_fields
        download = f", or dataset.{self.source}.url to download them" if has_download else ""
        return f"set dataset.{self.source}.root to the folder that holds your clips{download}"


class PreprocessParams(Section):
    clips_per_shard: PositiveInt
    detector_score: Fraction
    detector_max_px: Annotated[int, Field(ge=64)]
    detect_every: PositiveInt
    max_gap_frames: NonNegativeInt
    smooth_frames: PositiveInt
    cut_change: NonNegative
    choose_face: ChooseFace
    rolled_faces: RolledFaces
    min_face_px: NonNegativeInt
    min_sharpness: NonNegative
    min_frames: Annotated[int, Field(ge=12)]
    max_clip_s: Positive
    max_length_mismatch_s: NonNegative
    min_audio_rms: Fraction
    crop: CropGeometry
    context_px: Annotated[int, Field(ge=96, le=512)]
    jpeg_quality: Annotated[int, Field(ge=50, le=100)]

    @model_validator(mode="after")
    def _segments_are_long_enough(self) -> PreprocessParams:
        least_s = 2 * self.min_frames / 25
        if self.max_clip_s < least_s:
            raise ValueError(
                f"max_clip_s {self.max_clip_s} must be at least {least_s:g}, which is twice min_frames "
                f"{self.min_frames} at 25 fps: longer clips are cut into equal segments of at least min_frames"
            )
        return self


class SyncFilterParams(Section):
    scorer: Path | None
    scorer_sha256: Sha256 | None
    splits: tuple[Split, ...]
    max_shift_frames: PositiveInt
    min_offset_frames: PositiveInt
    max_offset_frames: NonNegativeInt
    min_confidence: float

    @model_validator(mode="after")
    def _scorer_has_a_digest(self) -> SyncFilterParams:
        if (self.scorer is None) != (self.scorer_sha256 is None):
            raise ValueError(
                "scorer and scorer_sha256 must both be set or both be null; run `python -m pipeline freeze-scorer`"
            )
        return self

    @model_validator(mode="after")
    def _search_range_exceeds_max_offset(self) -> SyncFilterParams:
        if self.max_offset_frames >= self.max_shift_frames:
            raise ValueError(
                f"max_offset_frames {self.max_offset_frames} must be below max_shift_frames {self.max_shift_frames}: "
                "an offset at the end of the search range may be larger in reality"
            )
        return self
