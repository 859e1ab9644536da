"""The training loop: steps, curve, validation, checkpoints, resume.

The loop is the same for all networks. A `Trainee` holds the network and its optimiser, and makes one step per batch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from models import parallel
from pipeline.core.choices import Keep
from pipeline.core.durations import duration_text
from pipeline.core.errors import DataError
from pipeline.core.stage_events import StageProgress
from pipeline.training.checkpoint import CheckpointStore
from pipeline.training.curve_log import CurveLog, LoggedCurve, merge_rows
from pipeline.training.kept_weights import KeptWeights
from pipeline.training.trainee import Batch, BatchSource, Trainee

logger = logging.getLogger(__name__)

REMEDY = (
    "in params.yaml, lower this stage's learning_rate (for d_loss: discriminator_learning_rate), or set its precision "
    "to fp32"
)


class NonFiniteLossError(DataError):
    """A loss or gradient became NaN or infinite. The last checkpoint is from an earlier step."""


@dataclass(frozen=True)
class Schedule:
    """Length of the training and intervals of its actions, in steps."""

    num_steps: int
    validate_every: int
    checkpoint_every: int
    log_every: int
    keep: Keep = "best"
    """Which validated weights are kept: the best or the last."""
    keep_from: int = 0
    """First step whose weights may be kept, since losses may be inactive before it. The last step may always be."""
    patience: int = 0
    """Training ends after this number of consecutive validations without improvement. 0: no early stopping."""


@dataclass(frozen=True)
class TrainingReport:
    """Results of a training run. The curve includes the part before a resume."""

    curve: list[dict[str, float]]
    validation: dict[str, float]
    """Validation scalars of the kept weights."""
    kept_step: int
    """Step of the kept weights."""
    resumed_from_step: int
    seconds: float
    """Wall time in seconds, including the parts before a resume."""
    data_wait_share: float
    """Fraction of this process's training time spent waiting for batches, 0..1."""


def train(
    trainee: Trainee, batches: BatchSource, schedule: Schedule, store: CheckpointStore, log: CurveLog
) -> TrainingReport:
    """Train until ``schedule.num_steps`` or early stopping, starting from the newest checkpoint if one exists.

    A checkpoint holds weights, optimisers, data position and curve, so a resumed run continues the same curve. Rows
    are logged after a checkpoint holds them. After a resume, the rows of the last checkpoint and all undelivered rows
    are logged again. If several processes share the batches, each calls this function. The first one validates, logs
    and writes the checkpoints. Raises NonFiniteLossError with the step; such a step is never written to a checkpoint.
    """
    run = _TrainingRun(trainee, batches, schedule, store, log)
    run.restore()
    run.train_to_the_end()
    return run.report()


class _TrainingRun:
    """The state of a training run: position, curve, kept weights and times."""

    def __init__(
        self, trainee: Trainee, batches: BatchSource, schedule: Schedule, store: CheckpointStore, log: CurveLog
    ) -> None:
        self._trainee, self._batches, self._schedule, self._store, self._log = trainee, batches, schedule, store, log
        self._step = self._first_step = 0
        self._curve: list[dict[str, float]] = []
        self._logged = LoggedCurve(log)
        self._kept = KeptWeights(schedule.keep, schedule.patience)
        self._sums: dict[str, float] = {}  # since the last row of the curve
        self._counts: dict[str, int] = {}  # a term of the loss that starts later has fewer steps
        self._seconds_before = 0.0
        self._began = self._paced_at = time.monotonic()
        self._paced_step = 0
        self._waited_before = batches.wait_seconds

    @property
    def _is_over(self) -> bool:
        return self._step >= self._schedule.num_steps or self._kept.is_out_of_patience

    def _is_due(self, every: int) -> bool:
        """Whether an action with this interval in steps is due. All actions are due at the end."""
        return self._is_over or self._step % every == 0

    def restore(self) -> None:
        """Restore trainee, data position, kept weights, curve and torch's random states from the newest checkpoint.

        Without a checkpoint nothing changes.
        """
        state = parallel.from_first(self._store.load)
        if state is None:
            return
        self._trainee.load_state_dict(state["trainee"])
        self._batches.load_state_dict(state["data"])
        self._kept.load_state_dict(state["chosen"])
        torch.set_rng_state(state["torch_rng"])
        if state["cuda_rng"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda_rng"])
        self._step = self._first_step = state["step"]
        self._curve, self._sums, self._counts = state["curve"], state["sums"], state["counts"]
        self._seconds_before = state["seconds"]
        self._logged = LoggedCurve(self._log, state["num_logged"])
        logger.info(
            "resumed from the checkpoint of step %d of %d",
            self._step,
            self._schedule.num_steps,
            extra={"progress": StageProgress("train", self._step, self._schedule.num_steps, num_before=self._step)},
        )
        if parallel.rank() == 0:
            self._logged.send_rest(self._curve)

    def train_to_the_end(self) -> None:
        """Make all remaining steps, with validations, rows of the curve and checkpoints."""
        self._began = self._paced_at = time.monotonic()  # the pace is since the last log line: first steps are slower
        self._paced_step, self._waited_before = self._step, self._batches.wait_seconds
        try:
            batches = iter(()) if self._is_over else iter(self._batches)  # the iteration starts the decoding of batches
            while not self._is_over:
                batch, position = next(batches)
                self._step += 1
                self._train_on(batch)
                if self._is_due(self._schedule.validate_every):
                    self._validate()
                if self._is_due(self._schedule.log_every) or self._step == 1:
                    self._log_row()
                if parallel.rank() == 0 and self._is_due(self._schedule.checkpoint_every):
                    self._save(position)
        finally:
            self._batches.close()

    def _train_on(self, batch: Batch) -> None:
        for name, value in _step(self._trainee, batch, self._step).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def _validate(self) -> None:
        """Measure the validation data and consider the weights. The end of patience ends the training."""
        validation = parallel.from_first(self._trainee.validate)
        if not math.isfinite(loss := validation["loss"]):
            raise NonFiniteLossError(f"step {self._step}: the validation loss is {loss}; {REMEDY}")
        logger.info("step %d validation: %s", self._step, _format(validation))
        self._curve.append({"step": float(self._step)} | {f"val_{k}": v for k, v in validation.items()})
        if self._is_over or self._step >= self._schedule.keep_from:
            self._kept.consider(self._step, validation, self._trainee.weights())

    def _log_row(self) -> None:
        """Add the means of the scalars since the last row to the curve, and write them to the log."""
        now = time.monotonic()
        pace = (now - self._paced_at) / (self._step - self._paced_step)
        self._paced_at, self._paced_step = now, self._step
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        row = {"step": float(self._step)} | means
        _log_line(row, self._step, self._schedule.num_steps, pace)
        self._curve.append(row)
        self._sums, self._counts = {}, {}

    def _save(self, position: Mapping[str, Any]) -> None:
        """Write a checkpoint, then log the rows of the curve that it holds. ``position``: of the data stream."""
        self._store.save(
            {
                "step": self._step,
                "trainee": self._trainee.state_dict(),
                "data": position,
                "torch_rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
                "curve": self._curve,
                "num_logged": self._logged.num_arrived,
                "sums": self._sums,
                "counts": self._counts,
                "chosen": self._kept.state_dict(),
                "seconds": self._seconds_before + time.monotonic() - self._began,
            }
        )
        self._logged.send_rest(self._curve)

    def report(self) -> TrainingReport:
        """The results. The trainee gets the kept weights."""
        seconds = time.monotonic() - self._began
        has_trained = self._step > self._first_step
        self._trainee.use_weights(self._kept.weights)
        if self._kept.step < self._curve[-1]["step"]:
            logger.info("keeping the weights of step %d, which had the best validation", self._kept.step)
        return TrainingReport(
            curve=merge_rows(self._curve),
            validation=self._kept.validation,
            kept_step=self._kept.step,
            resumed_from_step=self._first_step,
            seconds=self._seconds_before + seconds,
            data_wait_share=(self._batches.wait_seconds - self._waited_before) / seconds if has_trained else 0.0,
        )


def _step(trainee: Trainee, batch: Batch, step: int) -> dict[str, float]:
    try:
        own = {name: float(value) for name, value in trainee.step(batch, step - 1).items()}
        scalars = parallel.mean_scalars(own)
    except FloatingPointError as error:
        raise NonFiniteLossError(f"step {step}: {error}; {REMEDY}") from error
    for name, value in scalars.items():
        if not math.isfinite(value):
            raise NonFiniteLossError(f"step {step}: {name} is {value}; {REMEDY}")
    return scalars


def _format(scalars: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.4g}" for name, value in scalars.items() if name != "step")


def _log_line(row: Mapping[str, float], step: int, num_steps: int, pace: float) -> None:
    left = pace * (num_steps - step)
    logger.info(
        "step %d/%d %s | %.2f s/step, about %s left",
        step,
        num_steps,
        _format(row),
        pace,
        duration_text(left),
        extra={"progress": StageProgress("train", step, num_steps, _key_figure(row))},
    )


def _key_figure(row: Mapping[str, float]) -> str:
    """L1 of a generator, the loss of other networks."""
    name = "l1" if "l1" in row else "loss"
    return f"{name} {row[name]:.4g}" if name in row else ""
