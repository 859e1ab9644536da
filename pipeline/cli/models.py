"""Commands that import a trained model: ``adopt`` for published weights, ``freeze-scorer`` for the sync filter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.layout import Layout, find_root


def adopt(
    released: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Generator or expert published by Wav2Lip's authors, such as wav2lip_gan.pth."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
) -> None:
    """Convert Wav2Lip's published weights to a model.

    The model is a generator for dubbing and comparison, or a sync expert. It gets face crops as in its training. The
    weights are not part of lipsmith. Their authors' licence allows research and personal use, not commercial use.
    """
    with user_errors():
        from pipeline.inference.generator_kinds import KINDS
        from pipeline.inference.wav2lip_weights import convert_wav2lip as adopt_file

        kind = adopt_file(released, out)
        if kind in KINDS:
            typer.echo(f"{out}: a generator; next: python -m pipeline score-model --model {out}, or dub --model {out}")
        else:
            typer.echo(f"{out}: a sync expert; next: python -m pipeline freeze-scorer --from {out}")


def freeze_scorer(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of a sync expert, or syncnet_v2.model. Default: the expert that train_syncnet trained.",
        ),
    ] = None,
) -> None:
    """Set a trained sync expert as the scorer of sync_filter.

    The expert is copied to weights/ and set in params.yaml. The next `dvc repro` corrects or removes clips that are out
    of sync, and trains every network again.
    """
    with user_errors():
        from pipeline.sync_filter.freeze import freeze_scorer as freeze

        layout = Layout(find_root())
        path, changes = freeze(layout, source)
    for change in changes:
        typer.echo(f"{change.key}: {change.old} -> {change.new}")
    typer.echo(f"{path}: {'set as scorer; next: dvc repro' if changes else 'is already the scorer, nothing changed'}")
    if changes:
        typer.echo("to disable the sync filter, set both values in params.yaml to null")
    if source is None:
        from pipeline.evaluation.evaluator_quality import accuracy_sentence

        typer.echo(accuracy_sentence(layout, "train_syncnet", "the expert"))
