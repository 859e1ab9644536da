"""Checkpoints of a training with a time limit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pipeline.core import atomic
from pipeline.core.model_files import MODEL_NAME, WEIGHTS_NAME
from pipeline.training.checkpoint import CheckpointStore
from pipeline.training.curve import write_curve
from pipeline.training.curve_log import merge_rows

CURVE_NAME, MODEL_FOLDER = "curve.csv", "model"
CHECKPOINT_NAMES = ("next.pt", "last.pt", "previous.pt")


class TimeUpError(Exception):
    """The time is over. There is a checkpoint of the last step."""


class TimedStore(CheckpointStore):
    """Gets the state after every step. Writes each n-th one, the last one before the deadline, and the final one.

    ``every``: n. ``num_steps``: step of the final one. ``deadline``: of ``time.monotonic``.
    """

    def __init__(self, folder: Path, every: int, num_steps: int, deadline: float) -> None:
        super().__init__(folder)
        self._every, self._num_steps, self._deadline = every, num_steps, deadline
        self._previous_end: float | None = None
        self._seconds_of_saving = 0.0

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint and the curve, if it is time. Raises TimeUpError if there is no time for another step."""
        now = time.monotonic()
        pace = 0.0 if self._previous_end is None else now - self._previous_end
        is_time_up = now + 2 * pace + self._seconds_of_saving >= self._deadline
        if is_time_up or state["step"] % self._every == 0 or state["step"] == self._num_steps:
            super().save(state)
            write_curve(self.folder / CURVE_NAME, merge_rows(state["curve"]))
            self._seconds_of_saving = time.monotonic() - now
        self._previous_end = time.monotonic()
        if is_time_up:
            raise TimeUpError


def remove_unfinished_files(folder: Path) -> None:
    """Remove the temporary files of runs that were killed."""
    for name in (*CHECKPOINT_NAMES, CURVE_NAME, f"{MODEL_FOLDER}/{MODEL_NAME}", f"{MODEL_FOLDER}/{WEIGHTS_NAME}"):
        atomic.remove_abandoned(folder / name)


def has_checkpoint(folder: Path) -> bool:
    return any((folder / name).is_file() for name in CHECKPOINT_NAMES)
