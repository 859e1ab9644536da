"""The generators that the page offers: those of the registry, the trained variants, and folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pipeline.core.choices import Alias
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.core.model_files import holds_model
from pipeline.params import load_params
from pipeline.promote.registry import open_registry


def offered_models(layout: Layout, folders: Sequence[Path]) -> dict[str, str | Path]:
    """Name on the page -> what `Dubber.load` takes. ``folders``: saved generators; if given, only they are offered.

    Otherwise these are the aliases of the registry, ``champion`` first, and the trained variants. Raises UserError if
    there is none, and for a folder without a generator.
    """
    for folder in folders:
        if not holds_model(folder):
            raise UserError(f"no trained generator in {folder}; give another --model, the folder of a saved generator")
    if folders:
        return dict(zip(_names(folders), folders, strict=True))
    variants = [
        name for name in load_params(layout.params_path).variants if holds_model(layout.model_dir("train_gan", name))
    ]
    names = [*_aliases(layout), *variants]
    if not names:
        raise UserError(
            f"no generator is trained in {layout.root}; `make repro` trains them, or give --model, the folder of a "
            "saved generator"
        )
    return {name: name for name in names}


def _aliases(layout: Layout) -> list[str]:
    if not layout.mlflow_db_path.is_file():
        return []
    with open_registry(layout) as registry:
        known = registry.aliases()
    return [alias for alias in get_args(Alias) if alias in known]


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, or that of its parent if it is called ``model``; its path if others share it."""
    paths = [folder.resolve() if ".." in folder.parts else folder.absolute() for folder in folders]
    own = [path.parent.name if path.name == "model" else path.name for path in paths]
    return [name if own.count(name) == 1 else str(path) for name, path in zip(own, paths, strict=True)]
