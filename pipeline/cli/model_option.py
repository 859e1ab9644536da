"""The options that name the generator of a command: ``--model``, ``--registered`` and ``--variant``."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.choices import Alias
from pipeline.core.errors import UserError


def chosen_model(model: Path | None, registered: Alias | None, variant: str) -> str | Path:
    """What `generator_folder` takes. Raises UserError if both ``model`` and ``registered`` are given."""
    if registered and model:
        raise UserError(f"--registered {registered} and --model {model} both name a model; give only one of them")
    return registered or model or variant
