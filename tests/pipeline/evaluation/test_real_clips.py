"""The evaluator places the real clips once for all rows of a protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.compare.fitness import RealVideos
from pipeline.evaluation.protocol import Pair
from pipeline.evaluation.real_clips import place_real_clips
from pipeline.evaluation.score import PairResult, VariantScore
from pipeline.metrics.lse import lse_scores


def test_real_clips_are_scored_once_for_a_protocol(tmp_path: Path) -> None:
    """Three clips with known offsets of 0, 1 and 4 frames, and one without a score."""
    embeddings = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    results = [PairResult(Pair("x", "x"), failure="too short")]
    for offset in (0, 1, 4):
        score = lse_scores(embeddings[: 40 - offset], embeddings[offset:])
        results.append(PairResult(Pair(str(offset), str(offset)), lse=score))
    none = np.empty((0, 96, 96, 3), np.uint8)
    calls: list[str] = []

    def score_real() -> VariantScore:
        calls.append("scored")
        return VariantScore(tuple(results), none, none)

    for _ in range(2):
        assert place_real_clips(tmp_path, "a" * 64, score_real) == RealVideos(num=3, num_near=2)
    assert calls == ["scored"]
    place_real_clips(tmp_path, "b" * 64, score_real)
    assert len(calls) == 2


def test_without_a_placed_clip_the_fitness_is_unknown() -> None:
    figures = RealVideos.placed_at([]).figures("judge-1", "none could be placed")
    assert figures["is_fit"] is None and figures["text"].endswith("is unknown: none could be placed.")
