"""Models on disk: plain tensors and JSON, never pickled classes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline.core import atomic
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "weights.safetensors"
MODEL_NAME = "model.json"
Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")


@dataclass(frozen=True)
class SavedModel:
    """A finished model as read from its folder.

    ``config`` builds the network, ``state`` is its state dict, ``info`` says where it came from.
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
    """Write ``weights.safetensors`` and ``model.json``; equal content gives equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic.replacing(folder / WEIGHTS_NAME) as temporary:
        save_file(tensors, temporary)
    atomic.write_json(folder / MODEL_NAME, {"kind": kind, "config": config, "info": info})


def load_model(folder: Path) -> SavedModel:
    """Read a folder written by ``save_model``.

    Raises UserError that says what is missing or damaged.
    """
    for name in (MODEL_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise UserError(f"no model in {folder}: {name} is missing; `dvc repro` writes those below artifacts/")
    try:
        description = json.loads((folder / MODEL_NAME).read_text())
        return SavedModel(
            kind=description["kind"],
            config=description["config"],
            state=load_file(folder / WEIGHTS_NAME),
            info=description["info"],
        )
    except (ValueError, KeyError, TypeError, SafetensorError) as error:  # no text, no JSON, or JSON of another shape
        raise UserError(f"the model in {folder} is damaged ({error}); remove the folder and make it again") from None


def restore(saved: SavedModel, build: Callable[[dict[str, Any]], Network], what: str, folder: Path) -> Network:
    """The network that ``build`` makes of the model's config, with its weights.

    Raises UserError where it was saved by other code: ``what`` (with its article) is in ``folder``.
    """
    try:
        network = build(saved.config)
        _load_state(network, saved.state)
    except UserError as error:
        raise UserError(
            f"{folder} holds {what} of another version of lipsmith ({error}); train it again with `dvc repro`, or give "
            "another"
        ) from None
    return network


def parse_config(kind: type[Config], config: Mapping[str, Any]) -> Config:
    """A network's config from that of a saved model. Raises UserError where other code saved it."""
    try:
        return kind(**config)
    except (TypeError, ValueError) as error:  # names it does not have, or lacks; values it refuses
        raise UserError(str(error)) from None


def _load_state(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:  # names or shapes differ
        raise UserError(str(error)) from None


def read_published(path: Path) -> dict[str, Any]:
    """The dict of tensors, or of dicts of tensors, that others wrote with ``torch.save``; nothing else is unpickled.

    Raises UserError that says what the file is instead.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception:  # of any kind: the unpickler goes where the bytes lead it
        raise UserError("it is no file of tensors") from None
    if not isinstance(content, dict):
        raise UserError(f"it holds {type(content).__name__}, not a state dict")
    return content


def model_sha256(folder: Path) -> str:
    """Digest of the weights file: what a result names to say which model it scored."""
    return sha256_of(folder / WEIGHTS_NAME)
