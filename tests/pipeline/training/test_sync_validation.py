"""Validation scores of similarity matrices with known results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.training.sync_validation import SyncValidation

VALIDATION = SyncValidation(num_pairs=400, min_gap_frames=5, seed=0)


def test_perfect_similarities() -> None:
    scores = VALIDATION.scores([np.eye(40, dtype=np.float32) * 50])
    assert scores["pairwise_accuracy"] == 1.0
    assert scores["offset_within_one_frame"] == 1.0
    assert scores["loss"] == pytest.approx(0.0, abs=1e-6)


def test_constant_similarities_are_at_chance_level() -> None:
    scores = VALIDATION.scores([np.zeros((40, 40), np.float32)])
    assert scores["pairwise_accuracy"] == 0.0  # a tie is not a win
    assert scores["loss"] == pytest.approx(scores["chance_loss"])
    assert math.log(26) < scores["chance_loss"] < math.log(40)


def test_random_similarities_are_correct_for_half_of_the_pairs() -> None:
    rng = np.random.default_rng(1)
    scores = VALIDATION.scores([rng.normal(size=(60, 60)).astype(np.float32) for _ in range(20)])
    assert 0.4 < scores["pairwise_accuracy"] < 0.6


@pytest.mark.parametrize("shift", [-15, -3, 0, 1, 7])
def test_clips_within_one_frame_of_sync_are_counted(shift: int) -> None:
    matrix = np.eye(50, k=shift, dtype=np.float32)
    expected = 1.0 if abs(shift) <= 1 else 0.0
    assert VALIDATION.scores([matrix])["offset_within_one_frame"] == expected


def test_the_list_of_pairs_is_fixed() -> None:
    rng = np.random.default_rng(2)
    matrices = [rng.normal(size=(30, 30)).astype(np.float32) for _ in range(3)]
    assert VALIDATION.scores(matrices) == VALIDATION.scores(matrices)


def test_every_pair_counts_where_few_windows_have_another_far_enough() -> None:
    matrix = np.eye(6, dtype=np.float32)  # only the first and the last window are 5 windows apart
    scores = VALIDATION.scores([matrix])
    assert (scores["num_pairs"], scores["pairwise_accuracy"]) == (VALIDATION.num_pairs, 1.0)


def test_clips_too_short_for_a_negative_are_an_error() -> None:
    with pytest.raises(DataError, match="no clip has more than 5 windows"):
        VALIDATION.scores([np.eye(4, dtype=np.float32)])
