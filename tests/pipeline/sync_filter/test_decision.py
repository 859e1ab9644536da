"""Offset, confidence and acceptance of clips."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.params import SyncFilterParams
from pipeline.sync_filter.decision import SyncReason, SyncScore, correction_frames, rejection, score_clip

PARAMS = SyncFilterParams(
    scorer=None,
    scorer_sha256=None,
    splits=("train",),
    max_shift_frames=15,
    min_offset_frames=2,
    max_offset_frames=6,
    min_confidence=0.2,
)


def similarity(lead: int, num: int = 60) -> np.ndarray:
    """Similarities of random face and audio embeddings that match if the audio is shifted by ``lead`` frames."""
    moments = np.random.default_rng(0).standard_normal((num + 60, 64))
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    faces, sounds = moments[30 : 30 + num], moments[30 + lead : 30 + lead + num]
    return (faces @ sounds.T).astype(np.float32)


@pytest.mark.parametrize("lead", [-15, -6, -1, 0, 1, 6, 15])
def test_the_offset_is_how_far_the_audio_leads(lead: int) -> None:
    score = score_clip(similarity(lead), 15)
    assert score.offset_frames == lead
    assert score.confidence == pytest.approx(1, abs=0.1)


def test_unrelated_audio_has_a_low_confidence() -> None:
    rng = np.random.default_rng(1)
    assert score_clip(rng.standard_normal((60, 60)).astype(np.float32) / 8, 15).confidence < 0.1


def test_short_clips_are_compared_at_fewer_shifts() -> None:
    assert score_clip(similarity(2, num=8), 15).offset_frames == 2
    with pytest.raises(DataError, match="4 windows is too short"):
        score_clip(similarity(0, num=4), 15)


def test_offsets_within_the_measurement_error_are_not_corrected() -> None:
    found = {offset: correction_frames(SyncScore(offset, 0.5), PARAMS) for offset in (-3, -2, -1, 0, 1, 2, 6)}
    assert found == {-3: -3, -2: -2, -1: 0, 0: 0, 1: 0, 2: 2, 6: 6}
    assert rejection(SyncScore(-1, 0.5), 25, PARAMS, min_frames=25) is None  # without a correction it loses no frame


@pytest.mark.parametrize(
    ("score", "num_frames", "reason", "detail"),
    [
        (SyncScore(0, 0.5), 75, None, ""),
        (SyncScore(-6, 0.5), 75, None, ""),
        (SyncScore(7, 0.5), 75, SyncReason.OUT_OF_SYNC, "audio leads by 7 frames .*max_offset_frames 6"),
        (SyncScore(9, 0.1), 75, SyncReason.LOW_SYNC_CONFIDENCE, r"confidence 0\.100 .*min_confidence 0\.2"),
        (SyncScore(-6, 0.5), 30, SyncReason.TOO_SHORT_IN_SYNC, "24 frames are left .*preprocess.min_frames 25"),
    ],
)
def test_rejections(score: SyncScore, num_frames: int, reason: SyncReason | None, detail: str) -> None:
    found = rejection(score, num_frames, PARAMS, min_frames=25)
    if reason is None:
        assert found is None
        return
    assert found is not None
    assert found[0] == reason
    assert re.search(detail, found[1])
