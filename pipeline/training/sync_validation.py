"""Validation of sync networks, the expert and the evaluator, on whole clips.

Each face window of a clip is compared with each audio window of the same clip. Three scores with known chance levels
are computed from the similarity matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.metrics.best_offset import best_offset, mean_similarities
from pipeline.metrics.lse import VSHIFT_FRAMES


@dataclass(frozen=True)
class SyncValidation:
    """Scores on a fixed list of pairs. Equal settings give the same pairs in every run."""

    num_pairs: int
    min_gap_frames: int
    seed: int

    def scores(self, similarities: Sequence[NDArray[np.float32]]) -> dict[str, float]:
        """Scores by name. ``similarities``: one float [V, A] per clip; larger is more in sync; row v matches column v.

        - ``pairwise_accuracy``: fraction of the fixed pairs in which the matching audio is more similar than other
          audio of the same clip, at least ``min_gap_frames`` away. A tie counts as wrong. Chance level 0.5.
        - ``offset_within_one_frame``: fraction of clips whose mean similarity over offsets -15 .. 15 is highest at -1,
          0 or 1. Chance level 0.1 for clips of 3 s, lower for shorter clips, whose means at large offsets vary more.
        - ``loss``: cross-entropy of the matching audio among the clip's audio windows. ``chance_loss``: the same for
          constant similarities.

        Raises DataError if no clip is long enough for a negative.
        """
        usable = [s for s in similarities if len(s) > self.min_gap_frames]
        if not usable:
            raise DataError(
                f"no clip has more than {self.min_gap_frames} windows; lower this stage's min_gap_frames, or raise "
                "preprocess.min_frames, in params.yaml"
            )
        wins = self._pairwise_wins(usable)
        offsets = [best_offset(*mean_similarities(s, VSHIFT_FRAMES)).offset_frames for s in usable]
        losses, chances = zip(*(self._cross_entropy(s) for s in usable), strict=True)
        return {
            "loss": float(np.mean(losses)),
            "chance_loss": float(np.mean(chances)),
            "pairwise_accuracy": float(np.mean(wins)),
            "offset_within_one_frame": float(np.mean([abs(o) <= 1 for o in offsets])),
            "num_clips": float(len(usable)),
            "num_pairs": float(len(wins)),
        }

    def _pairwise_wins(self, similarities: Sequence[NDArray[np.float32]]) -> list[bool]:
        rng = np.random.default_rng(self.seed)
        wins = []
        for index in range(self.num_pairs):
            matrix = similarities[index % len(similarities)]
            num, gap = matrix.shape[1], self.min_gap_frames
            rows = [row for row in range(len(matrix)) if row >= gap or num - row > gap]  # not empty, see `usable`
            row = rows[int(rng.integers(len(rows)))]
            columns = np.arange(num)
            wrong = columns[np.abs(columns - row) >= gap]
            wins.append(bool(matrix[row, row] > matrix[row, int(rng.choice(wrong))]))
        return wins

    def _cross_entropy(self, matrix: NDArray[np.float32]) -> tuple[float, float]:
        rows, columns = np.indices(matrix.shape)
        allowed = (rows == columns) | (np.abs(rows - columns) >= self.min_gap_frames)
        masked = np.where(allowed, matrix.astype(np.float64), -np.inf)
        peak = masked.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(masked - peak).sum(axis=1)) + peak[:, 0]
        loss = float(np.mean(log_sum - np.diagonal(masked)))
        return loss, float(np.mean(np.log(allowed.sum(axis=1))))
