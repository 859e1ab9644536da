"""From a clip's similarities to its offset, how sure that is, and whether the clip is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.metrics.best_offset import MIN_WINDOWS, best_offset, mean_similarities
from pipeline.params import SyncFilterParams


class SyncReason(StrEnum):
    """Why the sync check rejects a clip; reason codes of its ``rejects.parquet``."""

    OUT_OF_SYNC = "out_of_sync"
    LOW_SYNC_CONFIDENCE = "low_sync_confidence"
    TOO_SHORT_IN_SYNC = "too_short_in_sync"


@dataclass(frozen=True)
class SyncScore:
    """``offset_frames``: positive where the audio leads the video. ``confidence``: how far the best shift stands above
    the median of all shifts, in the scorer's own units (cosines for an expert, distances for syncnet_v2)."""

    offset_frames: int
    confidence: float


def score_clip(similarity: NDArray[np.float32], max_shift: int) -> SyncScore:
    """``similarity: float32 [V, A]`` of one clip. Raises DataError where no shift has 5 windows to compare.

    As SyncNet's published score (Chung and Zisserman 2016, sec. 3), but a shift counts only windows that the clip has.
    """
    if len(np.diagonal(similarity)) < MIN_WINDOWS:
        raise DataError(f"a clip of {len(similarity)} windows is too short for a sync score, {MIN_WINDOWS} are needed")
    best = best_offset(*mean_similarities(similarity, max_shift))
    return SyncScore(best.offset_frames, best.margin)


def correction_frames(score: SyncScore, params: SyncFilterParams) -> int:
    """By how many frames the sound of a kept clip is moved: its offset, or nothing where that is within the error."""
    return score.offset_frames if abs(score.offset_frames) >= params.min_offset_frames else 0


def refusal(
    score: SyncScore, num_frames: int, params: SyncFilterParams, min_frames: int
) -> tuple[SyncReason, str] | None:
    """Why a clip with this score is left out, None where it is kept (its offset corrected)."""
    if score.confidence < params.min_confidence:
        return SyncReason.LOW_SYNC_CONFIDENCE, (
            f"confidence {score.confidence:.3f} (params.yaml: sync_filter.min_confidence {params.min_confidence})"
        )
    if abs(score.offset_frames) > params.max_offset_frames:
        return SyncReason.OUT_OF_SYNC, (
            f"the audio leads by {score.offset_frames} frames "
            f"(params.yaml: sync_filter.max_offset_frames {params.max_offset_frames})"
        )
    correction = correction_frames(score, params)
    left = num_frames - abs(correction)
    if left < min_frames:
        return SyncReason.TOO_SHORT_IN_SYNC, (
            f"{left} frames are left once {correction} frames of offset are corrected "
            f"(params.yaml: preprocess.min_frames {min_frames})"
        )
    return None
