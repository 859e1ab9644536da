"""``python -m pipeline export``: writes a generator as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.errors import user_errors
from pipeline.cli.model_option import chosen_model
from pipeline.core.choices import Alias
from pipeline.core.layout import Layout, find_root
from pipeline.dubbing.dubber import DEFAULT_VARIANT


def export(
    out: Annotated[Path, typer.Option(help="ONNX file to write. An existing file is replaced.")],
    variant: Annotated[str, typer.Option(help="Trained variant to export.")] = DEFAULT_VARIANT,
    model: Annotated[Path | None, typer.Option(help="Folder of a saved generator. Overrides --variant.")] = None,
    registered: Annotated[
        Alias | None, typer.Option(help="Model with this alias in the MLflow registry. Overrides --variant.")
    ] = None,
) -> None:
    """Write a generator as an ONNX file, and compare its output with torch's.

    The numbers of clips and of frames are dynamic. The state of an LSTM over frames is an input and an output. Nothing
    is written if the outputs differ by more than 0.0001. The command needs the extra lipsmith[onnx].
    """
    with user_errors():
        from pipeline.dubbing.generator_folder import generator_folder
        from pipeline.inference.onnx_export import export_onnx

        with generator_folder(Layout(find_root()), chosen_model(model, registered, variant)) as folder:
            difference = export_onnx(folder, out)
        typer.echo(
            f"{out}: {out.stat().st_size / 1e6:.1f} MB, largest difference from torch {difference:.1e}; next: python "
            f"-m pipeline dub --runtime onnx --model {out}"
        )
