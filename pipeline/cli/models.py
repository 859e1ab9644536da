"""Commands that take in a trained model: ``adopt`` published weights, ``freeze-scorer`` for the sync check."""

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
            metavar="FILE", help="Generator or expert as Wav2Lip's authors publish it, such as wav2lip_gan.pth."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
) -> None:
    """Make a model of Wav2Lip's published weights: a generator to dub and compare with, or an expert.

    They are not part of lipsmith, and their licence is their authors': research and personal use, nothing commercial.
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
            help="Folder of a sync expert, or syncnet_v2.model. Without it: the expert that train_syncnet trained.",
        ),
    ] = None,
) -> None:
    """Copy a trained sync expert to weights/ and let the stage sync_filter judge clips with it.

    The next `dvc repro` corrects clips that are out of sync or leaves them out, and trains every network again.
    """
    with user_errors():
        from pipeline.sync_filter.freeze import freeze_scorer as freeze

        layout = Layout(find_root())
        path, changes = freeze(layout, source)
    for change in changes:
        typer.echo(f"{change.key}: {change.old} -> {change.new}")
    typer.echo(f"{path}: {'judges from now on; next: dvc repro' if changes else 'judges already, nothing changed'}")
    if changes:
        typer.echo("null for both values in params.yaml ends that")
    if source is None:
        from pipeline.evaluation.evaluator_quality import accuracy_sentence

        typer.echo(accuracy_sentence(layout, "train_syncnet", "the expert"))
