"""The generators that the page offers: those of the registry, the trained variants, and folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from models.choices import FACE_SIZE_PX
from pipeline.core.artifacts import read_json
from pipeline.core.choices import Alias
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.core.model_files import MODEL_NAME, holds_model
from pipeline.dubbing.generator_folder import names_rendered_faces
from pipeline.params import load_params
from pipeline.promote.registry import open_registry


@dataclass(frozen=True)
class OfferedModel:
    """A generator on the page. ``source``: what `Dubber.load` takes. ``text``: its name, and what it is."""

    source: str | Path
    text: str
    is_of_rendered_faces: bool = False


def offered_models(layout: Layout, folders: Sequence[Path]) -> dict[str, OfferedModel]:
    """The generators by their names. ``folders``: saved generators; if given, only they are offered.

    Otherwise these are the aliases of the registry, ``champion`` first, and the trained variants. Raises UserError if
    there is none, and for a folder without a generator.
    """
    for folder in folders:
        if not holds_model(folder):
            raise UserError(f"no trained generator in {folder}; give another --model, the folder of a saved generator")
    if folders:
        return {name: _in_folder(name, folder, folder) for name, folder in zip(_names(folders), folders, strict=True)}
    offered = dict(_aliases(layout))
    for name in load_params(layout.params_path).variants:
        if holds_model(folder := layout.model_dir("train_gan", name)):
            offered[name] = _in_folder(name, name, folder)
    if not offered:
        raise UserError(
            f"no generator is trained in {layout.root}; `make repro` trains them, or give --model, the folder of a "
            "saved generator"
        )
    return offered


def _aliases(layout: Layout) -> Iterator[tuple[str, OfferedModel]]:
    if not layout.mlflow_db_path.is_file():
        return
    with open_registry(layout) as registry:
        known = registry.aliases()
        for alias in get_args(Alias):
            if alias in known:
                described = registry.description(known[alias])
                if described is None:
                    yield alias, OfferedModel(alias, f"{alias}: version {known[alias]}, whose files cannot be read")
                else:
                    yield alias, _offered(alias, alias, described)


def _in_folder(name: str, source: str | Path, folder: Path) -> OfferedModel:
    return _offered(name, source, read_json(folder / MODEL_NAME))


def _offered(name: str, source: str | Path, described: Mapping[str, Any]) -> OfferedModel:
    """``described``: the content of the generator's ``model.json``."""
    return OfferedModel(source, f"{name}: {', '.join(_facts(name, described))}", names_rendered_faces(described))


def _facts(name: str, described: Mapping[str, Any]) -> Iterator[str]:
    """The variant, the clips and the length of the training as far as ``described`` states them; the size of faces."""
    info = described["info"]
    if info.get("variant", name) != name:
        yield info["variant"]
    if "source" in info:
        yield f"trained on {info['source']}"
    if "file" in info:
        yield f"published weights {info['file']}"
    if "num_steps" in info:
        yield f"{info['num_steps']} steps"
    yield f"{described['config'].get('face_px', FACE_SIZE_PX)} px"


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, or that of its parent if it is called ``model``; its path if others share it."""
    paths = [folder.resolve() if ".." in folder.parts else folder.absolute() for folder in folders]
    own = [path.parent.name if path.name == "model" else path.name for path in paths]
    return [name if own.count(name) == 1 else str(path) for name, path in zip(own, paths, strict=True)]
