"""From a stage's context to a finished training: stream, loop, curve, model folder, metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import checkpoint
from pipeline.params import TrainEvaluatorParams, TrainGanParams, TrainSyncnetParams
from pipeline.shards.read import Clip, ClipStream, read_clips, read_index
from pipeline.stage import StageContext
from pipeline.training.curve import plot_curve, write_curve
from pipeline.training.loop import Schedule, Trainee, TrainingReport, train
from pipeline.training.precision import select_device, set_threads, uses_bf16
from pipeline.training.sync_validation import SyncValidation
from pipeline.training.windows import Cut, WindowBatches

logger = logging.getLogger(__name__)

MAX_VALIDATION_CLIPS = 24
"""Spread over the split; enough for a stable figure, few enough not to dominate a short training."""
MAX_TEST_CLIPS = 200
"""Looked at once, after training."""


def spread_clips(context: StageContext, split: str, limit: int = MAX_VALIDATION_CLIPS) -> list[Clip]:
    """At most ``limit`` clips of a split, evenly spread over it: the same ones in every run."""
    keys = [row.key for row in read_index(context.layout.clips_dir, split)]
    chosen = np.linspace(0, len(keys) - 1, min(limit, len(keys))).round().astype(int)
    return list(read_clips(context.layout.clips_dir, split, keys={keys[index] for index in chosen}))


def run_training(
    context: StageContext,
    trainee: Trainee,
    params: TrainSyncnetParams | TrainEvaluatorParams | TrainGanParams,
    cut: Cut,
    parts: Sequence[str],
    seed: int,
) -> TrainingReport:
    """Run (or resume) the loop, write ``curve.csv`` and ``curve.png``, log both."""
    runtime = context.params.runtime
    stream = ClipStream(context.layout.clips_dir, "train", seed, parts=tuple(parts))
    report = train(
        trainee,
        WindowBatches(stream, cut, params.clips_per_batch),
        Schedule(
            num_steps=params.num_steps,
            validate_every=params.validate_every,
            checkpoint_every=params.checkpoint_every,
            log_every=runtime.log_every_steps,
            keep=params.keep,
            patience=params.patience,
        ),
        checkpoint.CheckpointStore(context.scratch),
        context.tracker.log_curve,
    )
    write_curve(context.output_dir / "curve.csv", report.curve)
    plot_curve(context.output_dir / "curve.png", report.curve, context.variant or context.name)
    context.tracker.log_artifact(context.output_dir / "curve.png")
    return report


def training_metrics(context: StageContext, report: TrainingReport, precision: str) -> dict[str, Any]:
    """What every training reports about itself."""
    device = select_device(context.params.runtime.device)
    return {
        "num_steps": int(report.curve[-1]["step"]),
        "kept_step": report.kept_step,
        "seconds": round(report.seconds, 2),
        "data_wait_share": round(report.data_wait_share, 5),
        "precision": "bf16" if uses_bf16(precision, device) else "fp32",
    }


class SyncTrainee(Trainee, Protocol):
    """A trainee whose network judges sync."""

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        """float32 [V, A], larger is more in sync."""


@dataclass(frozen=True)
class SyncTraining:
    """What tells the expert's training from the evaluator's."""

    kind: str
    config: Mapping[str, Any]
    params: TrainSyncnetParams | TrainEvaluatorParams
    parts: Sequence[str]
    cut: Cut
    seed: int
    build: Callable[[Sequence[Clip], torch.device], SyncTrainee]


def run_sync_training(context: StageContext, training: SyncTraining) -> dict[str, Any]:
    """Train, save the model, and measure it on the held-out test split."""
    params = training.params
    set_threads(context.params.runtime.num_threads)
    torch.manual_seed(training.seed)
    trainee = training.build(spread_clips(context, "val"), select_device(context.params.runtime.device))
    report = run_training(context, trainee, params, training.cut, training.parts, training.seed)
    test = SyncValidation(params.num_validation_pairs, params.min_gap_frames, training.seed).scores(
        [trainee.similarity(clip) for clip in spread_clips(context, "test", MAX_TEST_CLIPS)]
    )
    metrics = {
        **{f"val_{name}": value for name, value in report.validation.items()},
        **{f"test_{name}": value for name, value in test.items()},
        "chance_pairwise_accuracy": 0.5,
        "width": params.width,
        **training_metrics(context, report, params.precision),
    }
    if report.validation["pairwise_accuracy"] < 0.55:
        logger.warning(
            "%s is still at chance (%.2f pairwise accuracy) after %d steps: raise params.yaml's %s.num_steps, "
            "or check that the clips are in sync",
            context.name,
            report.validation["pairwise_accuracy"],
            params.num_steps,
            context.name,
        )
    folder = context.output_dir / "model"
    checkpoint.save_model(
        folder,
        kind=training.kind,
        config=dict(training.config),
        state=trainee.weights(),
        info={
            "fingerprint": context.fingerprint,
            "val_pairwise_accuracy": report.validation["pairwise_accuracy"],
            "test_pairwise_accuracy": test["pairwise_accuracy"],
        },
    )
    context.tracker.log_artifact(folder, "model")
    return metrics
