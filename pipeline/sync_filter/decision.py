"""Offset and confidence of a clip from its similarity matrix, and the decision to keep or reject the clip."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.metrics.best_offset import MIN_WINDOWS, best_offset, mean_similarities
from pipeline.params import SyncFilterParams


class SyncReason(StrEnum):
    """Reasons for which the sync filter rejects a clip: the reason codes in its ``rejects.parquet``."""

    OUT_OF_SYNC = "out_of_sync"
    LOW_SYNC_CONFIDENCE = "low_sync_confidence"
    TOO_SHORT_IN_SYNC = "too_short_in_sync"


@dataclass(frozen=True)
class SyncScore:
    """Sync score of a clip.

    ``offset_frames``: positive if the audio leads the video. ``confidence``: mean similarity at the best shift minus
    the median over all shifts, in the scorer's unit (cosine for an expert, distance for syncnet_v2).
    """

    offset_frames: int
    confidence: float


def score_clip(similarity: NDArray[np.float32], max_shift: int) -> SyncScore:
    """Offset and confidence from the similarities of one clip, float32 [V, A], at shifts of up to ``max_shift`` frames.

    SyncNet's published score (Chung and Zisserman 2016, sec. 3), except that windows beyond the end of the clip are
    left out instead of padded. Raises DataError if no shift has 5 windows.
    """
    if len(np.diagonal(similarity)) < MIN_WINDOWS:
        raise DataError(f"a clip of {len(similarity)} windows is too short for a sync score; {MIN_WINDOWS} are needed")
    best = best_offset(*mean_similarities(similarity, max_shift))
    return SyncScore(best.offset_frames, best.margin)


def correction_frames(score: SyncScore, params: SyncFilterParams) -> int:
    """Number of frames by which a kept clip's audio is shifted.

    It is the clip's offset, or 0 if that is below ``min_offset_frames``, within the measurement error.
    """
    return score.offset_frames if abs(score.offset_frames) >= params.min_offset_frames else 0


def rejection(
    score: SyncScore, num_frames: int, params: SyncFilterParams, min_frames: int
) -> tuple[SyncReason, str] | None:
    """Reason code and explanation if a clip with this score is rejected, None if it is kept."""
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
            f"{left} frames are left after a correction by {correction} frames "
            f"(params.yaml: preprocess.min_frames {min_frames})"
        )
    return None
