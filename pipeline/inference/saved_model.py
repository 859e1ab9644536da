"""Models on disk: tensors (safetensors) and JSON, no pickled classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline.core import atomic
from pipeline.core.choices import UNNAMED_GEOMETRY, CropGeometry
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.core.model_files import MODEL_NAME, WEIGHTS_NAME

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_MESSAGE_CHARS = 300
"""Maximum length of torch's message about tensors that do not match. Torch lists every tensor."""
ADDED_ARGUMENTS = {"face_px", "mel_steps", "cbam_in", "cbam_reduction"}
"""Arguments of the generators that were added to configs after models had been saved without them."""
Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")


@dataclass(frozen=True)
class SavedModel:
    """A trained model, loaded from its folder.

    ``config``: arguments of the network. ``state``: its state dict. ``info``: provenance of the weights.
    """

    kind: str
    config: dict[str, Any]
    state: dict[str, torch.Tensor]
    info: dict[str, Any] = field(default_factory=dict)


def save_model(
    folder: Path,
    *,
    kind: str,
    config: dict[str, Any],
    state: dict[str, torch.Tensor],
    info: dict[str, Any],
) -> None:
    """Write ``weights.safetensors`` and ``model.json``. Equal content gives byte-identical files."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic.replacing(folder / WEIGHTS_NAME) as temporary:
        save_file(tensors, temporary)
    atomic.write_json(folder / MODEL_NAME, {"kind": kind, "config": config, "info": info})


def config_to_save(config: DataclassInstance) -> dict[str, Any]:
    """The arguments of a network for ``save_model``.

    Arguments that earlier versions did not have are left out where they have their defaults, so that earlier versions
    load such models.
    """
    defaults = {one.name: one.default for one in fields(config) if one.name in ADDED_ARGUMENTS}
    return {name: value for name, value in asdict(config).items() if name not in defaults or value != defaults[name]}


def geometry_of(saved: SavedModel, folder: Path) -> CropGeometry:
    """The geometry of the face crops that a generator or an expert was trained on, its info ``crop``.

    Raises UserError for an unknown one.
    """
    name = saved.info.get("crop", UNNAMED_GEOMETRY)
    for known in get_args(CropGeometry):
        if name == known:
            return known
    raise UserError(
        f"the model in {folder} needs face crops of the geometry {name!r}, but this version of lipsmith has only "
        f"{', '.join(get_args(CropGeometry))}; use another model, or a later version"
    )


def load_model(folder: Path) -> SavedModel:
    """Load a model from a folder written by ``save_model``. Raises UserError if a file is missing or damaged."""
    for name in (MODEL_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise UserError(f"no model in {folder}: {name} is missing; `dvc repro` creates the models in artifacts/")
    try:
        description = json.loads((folder / MODEL_NAME).read_text())
        return SavedModel(
            kind=description["kind"],
            config=description["config"],
            state=load_file(folder / WEIGHTS_NAME),
            info=description["info"],
        )
    # not text, not JSON, JSON without these keys, or not a file of tensors
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"the model in {folder} is damaged ({error}); remove the folder, and create the model again (dvc repro)"
        ) from None


def restore(saved: SavedModel, build: Callable[[dict[str, Any]], Network], what: str, folder: Path) -> Network:
    """The network that ``build`` returns for the model's config, with the saved weights.

    ``what`` names the network in the error, with its article: "a generator". Raises UserError if another version of
    the code saved the model.
    """
    try:
        network = build(saved.config)
        load_tensors(network, saved.state)
    except UserError as error:
        raise UserError(
            f"{folder} holds {what} of another version of lipsmith ({error}); train it again (dvc repro), or use "
            "another model"
        ) from None
    return network


def parse_config(kind: type[Config], config: Mapping[str, Any]) -> Config:
    """The config of a saved model as a ``kind``. Raises UserError if another version of the code saved it."""
    try:
        return kind(**config)
    except (TypeError, ValueError) as error:  # unknown or missing arguments, or invalid values
        raise UserError(str(error)) from None


def load_tensors(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a state dict. Raises UserError with torch's message, shortened, if names or shapes of tensors differ."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(shorten(str(error), MAX_MESSAGE_CHARS)) from None


def read_published(path: Path) -> dict[str, Any]:
    """The state dict, or checkpoint with state dicts, that ``torch.save`` wrote. No code in the file is executed.

    Raises UserError if the file holds anything else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception:  # torch's unpickler raises exceptions of many types for damaged files
        raise UserError("it is not a file of tensors") from None
    if not isinstance(content, dict):
        raise UserError(f"it holds {type(content).__name__}, not a state dict")
    return content


def model_sha256(folder: Path) -> str:
    """SHA-256 of the weights file, as hex digits. Results identify the scored model by it."""
    return sha256_of(folder / WEIGHTS_NAME)
