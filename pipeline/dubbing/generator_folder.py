"""Finds the folder of the generator that a user names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_args

from pipeline.core.artifacts import read_json
from pipeline.core.choices import Alias
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.core.model_files import MODEL_NAME, holds_model
from pipeline.inference.runtimes import ONNX_SUFFIX


@contextmanager
def generator_folder(layout: Layout, model: str | Path) -> Iterator[Path]:
    """Yield the folder of a saved generator, or an ONNX file. The folder of a registered model is temporary.

    ``model``: an alias of the registry, such as ``champion``; a variant of params.yaml; a folder; or an ONNX file. A
    name is looked up in this order, a ``Path`` always names a folder or a file. Raises UserError if there is no trained
    generator, RegistryError if the registry has no such alias.
    """
    if isinstance(model, str) and model in get_args(Alias):
        from pipeline.promote.registry import open_registry

        with open_registry(layout) as registry, registry.files(registry.aliased(cast(Alias, model))) as folder:
            yield folder
        return
    if isinstance(model, Path) or _is_path(layout, model):
        folder, remedy = Path(model), "give another --model, the folder of a saved generator"
    else:
        folder = layout.model_dir("train_gan", model)
        remedy = f"`dvc repro train_gan@{model}` trains it, or give --model"
    is_exported = folder.suffix == ONNX_SUFFIX and folder.is_file()
    if not is_exported and not holds_model(folder):
        raise UserError(f"no trained generator in {folder}; {remedy}")
    yield folder


def is_of_rendered_faces(folder: Path) -> bool:
    """Whether the generator in the folder was trained on the clips of the source ``demo``.

    False for an ONNX file, and for generators of earlier releases, which do not name their source.
    """
    return holds_model(folder) and names_rendered_faces(read_json(folder / MODEL_NAME))


def names_rendered_faces(described: Mapping[str, Any]) -> bool:
    """Whether the content of a generator's ``model.json`` says that it was trained on the clips of ``demo``."""
    return bool(described["info"].get("source") == "demo")


def _is_path(layout: Layout, name: str) -> bool:
    """Whether a name that is no alias is a folder. Raises ParamsError if it is neither a folder nor a variant."""
    from pipeline.params import load_params

    params = load_params(layout.params_path)
    if name in params.variants:
        return False
    if os.sep in name or Path(name).exists():
        return True
    params.require_variant(name)
    return False
