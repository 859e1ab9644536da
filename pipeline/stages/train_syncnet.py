"""Stage ``train_syncnet``: the sync expert of the generator's sync loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from pipeline import stage


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("train_syncnet", _command, argv)


def _command() -> int:
    """Train the sync expert of the generator's sync loss.

    An interrupted training resumes from its last checkpoint. The command has no options: params.yaml has them all.
    """
    return stage.run("train_syncnet", _body)


def _body(context: stage.StageContext) -> dict[str, Any]:
    from pipeline.inference.sync_expert import EXPERT_KIND
    from pipeline.training.expert import ExpertTrainee, expert_config
    from pipeline.training.session import SyncTraining, Training, run_sync_training
    from pipeline.training.sync_trainee import SyncTrainee
    from pipeline.training.windows import CutSyncWindows

    params, seed = context.params.train_syncnet, context.params.seed
    training = Training[SyncTrainee[Any, Any]](
        params,
        cut=CutSyncWindows(params.windows_per_clip, params.min_gap_frames, params.augment),
        parts=("frames", "mel"),
        seed=seed,
        build=partial(ExpertTrainee, params, validation_seed=seed),
    )
    return run_sync_training(context, SyncTraining(EXPERT_KIND, asdict(expert_config(params)), training, params))


if __name__ == "__main__":
    raise SystemExit(main())
