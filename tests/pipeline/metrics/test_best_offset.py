"""One search and one sign for every measure of sync: positive where the audio leads."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics.best_offset import best_offset, mean_similarities, offsets_within
from pipeline.metrics.lse import lse_scores
from pipeline.sync_filter.decision import score_clip
from pipeline.training.sync_validation import SyncValidation


def embeddings(lead: int, num: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the same moments, float32 [num, 64] twice; audio window v is of the moment of face v + lead."""
    moments = np.random.default_rng(0).standard_normal((num + 60, 64))
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    return moments[30 : 30 + num].astype(np.float32), moments[30 + lead : 30 + lead + num].astype(np.float32)


@pytest.mark.parametrize("lead", [-15, -7, -1, 0, 1, 7, 15])
def test_every_measure_of_sync_finds_the_same_lead_of_the_audio(lead: int) -> None:
    faces, sounds = embeddings(lead)
    similarity = faces @ sounds.T
    assert best_offset(*mean_similarities(similarity, 15)).offset_frames == lead
    assert score_clip(similarity, 15).offset_frames == lead
    assert lse_scores(faces, sounds).offset_frames == lead
    validation = SyncValidation(num_pairs=50, min_gap_frames=5, seed=0)
    assert validation.scores([similarity])["offset_within_one_frame"] == (abs(lead) <= 1)


def test_the_mean_and_its_margin_over_the_median_are_those_of_the_diagonals() -> None:
    similarity = np.random.default_rng(1).standard_normal((30, 30)).astype(np.float32)
    offsets, means = mean_similarities(similarity, 4)
    assert offsets == [4, 3, 2, 1, 0, -1, -2, -3, -4] == offsets_within(4).tolist()
    by_hand = [np.mean([similarity[v, v - o] for v in range(30) if 0 <= v - o < 30]) for o in offsets]
    np.testing.assert_allclose(means, by_hand, rtol=1e-5, atol=1e-6)
    best = best_offset(offsets, means)
    assert (best.mean, best.margin) == (means.max(), means.max() - np.median(means))


def test_of_equal_offsets_the_largest_is_found() -> None:
    assert best_offset(*mean_similarities(np.ones((20, 20), np.float32), 3)).offset_frames == 3


@pytest.mark.parametrize(("num", "offsets"), [(20, 15), (8, 3), (5, 0), (3, 0), (1, 0)])
def test_an_offset_leaves_five_windows_or_all_that_there_are(num: int, offsets: int) -> None:
    assert mean_similarities(np.eye(num, dtype=np.float32), 15)[0] == list(range(offsets, -offsets - 1, -1))
