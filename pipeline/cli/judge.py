"""Command ``train-judge``: render a judge's corpus, train the judge, and measure it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.errors import UserError
from pipeline.core.layout import CODE_ROOT, Layout
from pipeline.core.resources import num_cores

VALUES: dict[str, Any] = {
    "seed": 1234,
    "dataset.folder.metadata": "metadata.csv",
    "preprocess.choose_face": "largest",
    "sync_filter.scorer": None,
    "sync_filter.scorer_sha256": None,
    "train_evaluator.augment": "strong",
    "train_evaluator.num_steps": 2400,
    "train_evaluator.warmup_steps": 100,
    "train_evaluator.learning_rate": 0.0007,
    "train_evaluator.num_validation_pairs": 4096,
    "train_evaluator.validate_every": 250,
}
"""What differs from the profile ``folder``."""
STAGES = ("download", "preprocess", "sync_filter", "train_evaluator")


def train_judge(
    folder: Annotated[
        Path, typer.Argument(help="New folder for the corpus, the stages' outputs and the judge, no checkout.")
    ],
    grid: Annotated[Path, typer.Option(help="Folder that holds the GRID speakers s1 and s26.")],
    unseen: Annotated[
        Path | None,
        typer.Option(help="Folder with videos SPEAKER_CLIP of other GRID speakers, to measure the judge on them."),
    ] = None,
) -> None:
    """Train a judge: an evaluator that is trained once, on many speakers.

    Renders 1800 clips of 300 speakers, adds GRID's clips, trains, and measures the judge on unseen speakers too. It
    takes about an hour and a half on two CPU cores. An interrupted command continues when it is called again. A
    finished stage does not run again: for other clips, use a new FOLDER. The judge is in
    FOLDER/artifacts/train_evaluator/model, its accuracy in FOLDER/judge.json.
    """
    with user_errors():
        from pipeline.core import atomic
        from pipeline.corpora.judge import JudgeCorpus, make_judge_corpus
        from pipeline.inference.device import select_device
        from pipeline.inference.lse_evaluator import load_trained
        from pipeline.params import load_params
        from pipeline.shards.read import read_clips
        from pipeline.training.judge import judge_accuracy

        folder = folder.resolve()
        clips = folder / "clips"
        layout = prepare_judge_folder(folder, clips)
        make_judge_corpus(JudgeCorpus(grid.resolve(), unseen and unseen.resolve()), clips, num_cores())
        for stage in STAGES:
            if not layout.metrics_path(stage).is_file():
                code = subprocess.run([sys.executable, "-m", f"pipeline.stages.{stage}"], cwd=folder).returncode
                if code:
                    raise typer.Exit(code)
        params = load_params(layout.params_path)
        evaluator = load_trained(layout.model_dir("train_evaluator"), select_device(params.runtime.device))
        accuracy = judge_accuracy(evaluator, read_clips(layout.clips_dir, "test"), params.seed)
        atomic.write_json(folder / "judge.json", {"accuracy": accuracy, "sha256": evaluator.sha256})
    for group, scores in accuracy.items():
        typer.echo(f"{group}: {_describe(scores)}")


def prepare_judge_folder(folder: Path, clips: Path) -> Layout:
    """Write the ``params.yaml`` and ``dvc.yaml`` with which the stages train a judge on ``clips``, into ``folder``.

    Raises UserError unless the folder is new, empty, or was prepared by this function.
    """
    from pipeline.core import atomic
    from pipeline.params import load_params
    from pipeline.params.edit import replace_values
    from pipeline.params.profiles import apply_profile
    from pipeline.params.sharing import may_share, set_sharing

    layout = Layout(folder)
    _require_new_or_prepared(layout)
    text, _ = apply_profile("folder", (CODE_ROOT / "params.yaml").read_text())
    text, _ = replace_values(text, VALUES | {"dataset.folder.root": str(clips)})
    atomic.write_text(layout.params_path, text)
    params = load_params(layout.params_path)
    shared = set_sharing((CODE_ROOT / "dvc.yaml").read_text(), may_share(params, [params.dataset.source]))
    atomic.write_text(folder / "dvc.yaml", shared)
    return layout


def _require_new_or_prepared(layout: Layout) -> None:
    """Raises UserError for a folder with other files: their params.yaml would be lost, or their results be reused."""
    from pipeline.params import ParamsError
    from pipeline.params.edit import replace_values

    folder = layout.root
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        _, changes = replace_values(layout.params_path.read_text(), VALUES | {"dataset.source": "folder"})
    except (OSError, UnicodeDecodeError, ParamsError):
        changes = None
    if changes != []:
        raise UserError(
            f"{folder} is neither empty nor the folder of an earlier train-judge with these settings; name a new FOLDER"
        )


def _describe(scores: Mapping[str, Any]) -> str:
    recovered = scores["known_offsets_found"]
    return (
        f"pairwise {scores['pairwise_accuracy']:.3f}, within one frame {scores['offset_within_one_frame']:.1%}, "
        f"known offsets found {'-' if recovered is None else f'{recovered:.1%}'}, "
        f"{scores['num_clips']} clips of {scores['num_speakers']} speakers"
    )
