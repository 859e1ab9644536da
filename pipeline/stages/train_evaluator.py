"""Stage ``train_evaluator``: the independent evaluator that computes LSE-D and LSE-C, trained here or not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pipeline import stage

SEED_OFFSET = 1
"""Offset that gives the evaluator another order of clips and other windows than the expert."""


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("train_evaluator", _command, argv)


def _command() -> int:
    """Train the independent evaluator that computes LSE-D and LSE-C, or measure the one that replaces it.

    If evaluate.lse.weights in params.yaml is a judge or a path, nothing is trained. An interrupted training resumes
    from its last checkpoint. The command has no options: params.yaml has them all.
    """
    return stage.run("train_evaluator", _body)


def _body(context: stage.StageContext) -> dict[str, Any]:
    from pipeline.training.evaluator import CutEvaluatorWindows, EvaluatorTrainee
    from pipeline.training.judge import use_judge, use_official
    from pipeline.training.session import SyncTraining, Training, run_sync_training
    from pipeline.training.sync_trainee import SyncTrainee

    weights = context.params.evaluate.lse.weights
    if isinstance(weights, str):
        return use_judge(weights, context)
    if weights is not None:
        return use_official(context.layout.find(weights), context)
    params, seed = context.params.train_evaluator, context.params.seed + SEED_OFFSET
    training = Training[SyncTrainee[Any, Any]](
        params,
        cut=CutEvaluatorWindows(params.windows_per_clip, params.min_gap_frames, params.augment),
        parts=("context", "audio"),
        seed=seed,
        build=partial(EvaluatorTrainee, params, validation_seed=seed),
    )
    return run_sync_training(context, SyncTraining("lse_syncnet", {"width": params.width}, training, params))


if __name__ == "__main__":
    raise SystemExit(main())
