"""The training loop: steps, curve, validation, checkpoints, resume.

The loop is the same for all networks. A `Trainee` holds the network and its optimiser, and makes one step per batch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from models import parallel
from pipeline.core.choices import Keep
from pipeline.core.durations import duration_text
from pipeline.core.errors import DataError
from pipeline.core.stage_events import StageProgress
from pipeline.training.checkpoint import CheckpointStore
from pipeline.training.curve_log import CurveLog, LoggedCurve, merge_rows
from pipeline.training.kept_weights import KeptWeights

logger = logging.getLogger(__name__)

Batch = Mapping[str, torch.Tensor]
REMEDY = (
    "in params.yaml, lower this stage's learning_rate (for d_loss: discriminator_learning_rate), or set its precision "
    "to fp32"
)


class NonFiniteLossError(DataError):
    """A loss or gradient became NaN or infinite. The last checkpoint is from an earlier step."""


class Trainee(Protocol):
    """A network in training, with its optimiser and validation data."""

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        """Make one optimiser step. Returns scalars by name. ``step`` counts from 0."""

    def validate(self) -> dict[str, float]:
        """Scalars on the fixed validation data, `loss` among them.

        The best weights are those with the highest `pairwise_accuracy`, or with the lowest `loss` if that scalar is
        missing. Near chance level, the loss is lowest for weights whose scores are nearly constant.
        """

    def weights(self) -> dict[str, torch.Tensor]:
        """The state dict of the network that `validate` measures. The stage saves it."""

    def use_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Replace the weights that `validate` measures and the stage saves. Called after training."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class BatchSource(Protocol):
    """Iterable of batches, each with the state of the data stream after it."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def __iter__(self) -> Iterator[tuple[Batch, dict[str, Any]]]: ...

    @property
    def wait_seconds(self) -> float:
        """Total time in seconds that the training has waited for batches."""

    def close(self) -> None: ...


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
    curve: list[dict[str, float]] = []
    kept = KeptWeights(schedule.keep, schedule.patience)
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}  # a term of the loss that starts later has fewer steps
    start, spent = 0, 0.0
    logged = LoggedCurve(log)
    state = parallel.from_first(store.load)
    if state is not None:
        _restore(state, trainee, batches, kept)
        curve, start, spent = state["curve"], state["step"], state["seconds"]
        sums, counts = state["sums"], state["counts"]
        logged = LoggedCurve(log, state["num_logged"])
        logger.info(
            "resumed from the checkpoint of step %d of %d",
            start,
            schedule.num_steps,
            extra={"progress": StageProgress("train", start, schedule.num_steps, num_before=start)},
        )
        if parallel.rank() == 0:
            logged.send_rest(curve)

    began, waited = time.monotonic(), batches.wait_seconds
    paced_at, paced_step = began, start  # since the last log line, as the first steps are slower
    was_over = start >= schedule.num_steps or kept.is_out_of_patience
    iterator = iter(()) if was_over else iter(batches)  # the iteration starts the decoding of batches
    step, is_over = start, was_over
    try:
        while not is_over:
            step += 1
            batch, position = next(iterator)
            for name, value in _step(trainee, batch, step).items():
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + 1
            is_over = step == schedule.num_steps
            if is_over or step % schedule.validate_every == 0:
                validation = parallel.from_first(trainee.validate)
                if not math.isfinite(loss := validation["loss"]):
                    raise NonFiniteLossError(f"step {step}: the validation loss is {loss}; {REMEDY}")
                logger.info("step %d validation: %s", step, _format(validation))
                curve.append({"step": float(step)} | {f"val_{k}": v for k, v in validation.items()})
                if is_over or step >= schedule.keep_from:
                    kept.consider(step, validation, trainee.weights())
                    is_over = is_over or kept.is_out_of_patience
            if is_over or step % schedule.log_every == 0 or step == 1:
                now = time.monotonic()
                pace, paced_at, paced_step = (now - paced_at) / (step - paced_step), now, step
                row = {"step": float(step)} | {name: total / counts[name] for name, total in sums.items()}
                _log_line(row, step, schedule.num_steps, pace)
                curve.append(row)
                sums, counts = {}, {}
            if parallel.rank() == 0 and (is_over or step % schedule.checkpoint_every == 0):
                store.save(
                    {
                        "step": step,
                        "trainee": trainee.state_dict(),
                        "data": position,
                        "torch_rng": torch.get_rng_state(),
                        "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
                        "curve": curve,
                        "num_logged": logged.num_arrived,
                        "sums": sums,
                        "counts": counts,
                        "chosen": kept.state_dict(),
                        "seconds": spent + time.monotonic() - began,
                    }
                )
                logged.send_rest(curve)
    finally:
        batches.close()
    took = time.monotonic() - began
    trainee.use_weights(kept.weights)
    if kept.step < curve[-1]["step"]:
        logger.info("keeping the weights of step %d, which had the best validation", kept.step)
    return TrainingReport(
        curve=merge_rows(curve),
        validation=kept.validation,
        kept_step=kept.step,
        resumed_from_step=start,
        seconds=spent + took,
        data_wait_share=(batches.wait_seconds - waited) / took if not was_over else 0.0,
    )


def _restore(state: Mapping[str, Any], trainee: Trainee, batches: BatchSource, kept: KeptWeights) -> None:
    """Restore trainee, data position, kept weights and torch's random states from a checkpoint."""
    trainee.load_state_dict(state["trainee"])
    batches.load_state_dict(state["data"])
    kept.load_state_dict(state["chosen"])
    torch.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda_rng"])


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
