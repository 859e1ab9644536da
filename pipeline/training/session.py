"""A stage's training: data stream, loop, curve, model folder, metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from models import parallel
from pipeline.inference import saved_model
from pipeline.inference.device import select_device, set_threads, uses_bf16
from pipeline.params import RuntimeParams, TrainEvaluatorParams, TrainGanParams, TrainSyncnetParams
from pipeline.shards.clip import Clip
from pipeline.shards.read import read_clips, read_index, shared_geometry
from pipeline.shards.stream import ClipStream
from pipeline.stage import StageContext
from pipeline.training import checkpoint
from pipeline.training.curve import plot_curve, write_curve
from pipeline.training.curve_log import CurveLog
from pipeline.training.distributed import run_in_processes
from pipeline.training.loop import Schedule, TrainingReport, train
from pipeline.training.sync_trainee import SyncTrainee
from pipeline.training.sync_validation import SyncValidation
from pipeline.training.trainee import Trainee
from pipeline.training.windows import SYNC_LENGTH_SETTINGS, Cut, WindowBatches, require_equal_shares

logger = logging.getLogger(__name__)

NEAR_CHANCE = 0.55
"""Pairwise accuracy below which a sync network counts as untrained. Chance level is 0.5."""
MAX_VALIDATION_CLIPS = 24
"""Largest number of validation clips if each validation embeds whole clips. They stay in memory.

More would dominate a short training.
"""
MAX_TEST_CLIPS = 200
"""Largest number of test clips. They are used once, after training."""


def spread_clips(clips_dir: Path, split: str, limit: int, parts: Collection[str]) -> Iterator[Clip]:
    """Yields at most ``limit`` clips with these parts, evenly spaced in the split. Every run yields the same clips.

    A clip is read when it is requested, so a caller that keeps none needs memory for one.
    """
    keys = [row.key for row in read_index(clips_dir, split)]
    chosen = np.linspace(0, len(keys) - 1, min(limit, len(keys))).round().astype(int)
    yield from read_clips(clips_dir, split, parts, {keys[index] for index in chosen})


T = TypeVar("T", bound=Trainee)


@dataclass(frozen=True)
class Training(Generic[T]):
    """Definition of a training run. It is sent to each process of the run.

    ``parts``: parts of a clip that ``cut`` reads. ``seed``: of the initial weights and the data order.
    """

    params: TrainSyncnetParams | TrainEvaluatorParams | TrainGanParams
    cut: Cut
    parts: Sequence[str]
    seed: int
    build: Callable[[Sequence[Clip], torch.device], T]
    """Validation clips and device -> trainee."""
    keep_from: int = 0
    """First step whose weights may be kept."""
    num_validation_clips: int = MAX_VALIDATION_CLIPS
    """Maximum number of validation clips, which are evenly spaced in the split."""
    length_settings: str = SYNC_LENGTH_SETTINGS
    """Settings of the stage that determine the length of a clip's windows, as an error names them."""


@dataclass(frozen=True)
class Trained(Generic[T]):
    """A finished training. ``is_bf16``: whether it used bfloat16 autocast."""

    trainee: T
    report: TrainingReport
    is_bf16: bool


def run_training(context: StageContext, training: Training[T]) -> Trained[T]:
    """Train, or resume a training run; write ``curve.csv`` and ``curve.png``, and log the curve.

    Raises UserError for an impossible number of processes, NonFiniteLossError, or TemporaryError if processes are lost.
    """
    runtime = context.params.runtime
    require_equal_shares(training.params.clips_per_batch, runtime.num_processes)
    if runtime.num_processes == 1:
        trained = _train(training, runtime, context.layout.clips_dir, context.scratch, context.tracker.log_curve)
    else:
        share = partial(_train_share, training, runtime, context.layout.clips_dir, context.scratch)
        report, is_bf16 = run_in_processes(
            share, runtime.num_processes, runtime.device, context.scratch, context.tracker.log_curve
        )
        # This process only loads the weights. With cuda, the GPUs may be on other machines, hence auto.
        here = runtime.model_copy(update={"device": "cpu" if runtime.device == "cpu" else "auto"})
        # The curve is already logged.
        done = _train(training, here, context.layout.clips_dir, context.scratch, lambda rows: True)
        trained = Trained(done.trainee, report, is_bf16)
    curve = trained.report.curve
    write_curve(context.output_dir / "curve.csv", curve)
    plot_curve(context.output_dir / "curve.png", curve, context.variant or context.name)
    context.tracker.log_artifact(context.output_dir / "curve.png")
    return trained


def _train(training: Training[T], runtime: RuntimeParams, clips_dir: Path, scratch: Path, log: CurveLog) -> Trained[T]:
    """Run this process's part of the training. If the training is finished, only load its weights."""
    params = training.params
    set_threads(runtime.num_threads)
    device = select_device(runtime.device)
    torch.manual_seed(training.seed)
    validation_clips = list(spread_clips(clips_dir, "val", training.num_validation_clips, training.parts))
    trainee = training.build(validation_clips, device)
    del validation_clips  # only some trainees keep them
    stream = ClipStream(clips_dir, "train", training.seed, parts=tuple(training.parts))
    rank, world_size = parallel.rank(), parallel.num_processes()
    report = train(
        trainee,
        WindowBatches(
            stream,
            training.cut,
            params.clips_per_batch,
            rank=rank,
            world_size=world_size,
            length_settings=training.length_settings,
        ),
        Schedule(
            num_steps=params.num_steps,
            validate_every=params.validate_every,
            checkpoint_every=params.checkpoint_every,
            log_every=runtime.log_every_steps,
            keep=params.keep,
            keep_from=training.keep_from,
            patience=params.patience,
        ),
        checkpoint.CheckpointStore(scratch),
        log,
    )
    return Trained(trainee, report, uses_bf16(params.precision, device))


def _train_share(
    training: Training[Any], runtime: RuntimeParams, clips_dir: Path, scratch: Path, log: CurveLog
) -> tuple[TrainingReport, bool]:
    """Run one process's part of the training. Returns its picklable results; the weights are in the checkpoint."""
    trained = _train(training, runtime, clips_dir, scratch, log)
    return trained.report, trained.is_bf16


def training_metrics(trained: Trained[Any]) -> dict[str, Any]:
    """Metrics that every training has, by name."""
    report = trained.report
    return {
        "num_steps": int(report.curve[-1]["step"]),
        "kept_step": report.kept_step,
        "seconds": round(report.seconds, 2),
        "data_wait_share": round(report.data_wait_share, 5),
        "precision": "bf16" if trained.is_bf16 else "fp32",
    }


@dataclass(frozen=True)
class SyncTraining:
    """Training of a sync network, the expert or the evaluator. ``kind`` and ``config`` describe the saved model."""

    kind: str
    config: Mapping[str, Any]
    training: Training[SyncTrainee[Any, Any]]
    params: TrainSyncnetParams | TrainEvaluatorParams


def run_sync_training(context: StageContext, sync: SyncTraining) -> dict[str, Any]:
    """Train a sync network, save it, and measure it on the held-out test split. Returns the metrics by name."""
    params = sync.params
    trained = run_training(context, sync.training)
    trainee, report = trained.trainee, trained.report
    test_clips = spread_clips(context.layout.clips_dir, "test", MAX_TEST_CLIPS, sync.training.parts)
    test = SyncValidation(params.num_validation_pairs, params.min_gap_frames, sync.training.seed).scores(
        [trainee.similarity(clip) for clip in test_clips]
    )
    metrics = {
        **{f"val_{name}": value for name, value in report.validation.items()},
        **{f"test_{name}": value for name, value in test.items()},
        "chance_pairwise_accuracy": 0.5,
        "width": params.width,
        **training_metrics(trained),
    }
    if report.validation["pairwise_accuracy"] < NEAR_CHANCE:
        logger.warning(
            "%s: pairwise accuracy %.2f at step %d is near chance level (0.50); raise %s.num_steps in params.yaml, or "
            "check that the clips are in sync",
            context.name,
            report.validation["pairwise_accuracy"],
            report.kept_step,
            context.name,
        )
    folder, uses_crops = context.output_dir / "model", "frames" in sync.training.parts
    saved_model.save_model(
        folder,
        kind=sync.kind,
        config=dict(sync.config),
        state=trainee.weights(),
        info={
            "fingerprint": context.fingerprint,
            "val_pairwise_accuracy": report.validation["pairwise_accuracy"],
            "test_pairwise_accuracy": test["pairwise_accuracy"],
            **({"crop": shared_geometry(read_index(context.layout.clips_dir, "train"))} if uses_crops else {}),
        },
    )
    context.tracker.log_artifact(folder, "model")
    return metrics
