"""Values of ``params.yaml`` that a flow run changes before it starts."""

from __future__ import annotations

from pathlib import Path

import yaml

from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.params import parse_params, read_params_text
from pipeline.params.edit import replace_values

ParamValues = dict[str, bool | int | float | str | None]
"""Dotted key of ``params.yaml`` -> its new value."""


def change_params(root: Path, overrides: ParamValues) -> list[str]:
    """Write values to ``params.yaml`` and return each change, such as ``train_gan.num_steps: 300 -> 600``.

    Comments and the other values stay. Raises ParamsError for an unknown key and for a value that a stage would reject;
    the file is then unchanged.
    """
    path = Layout(root).params_path
    text, changes = replace_values(read_params_text(path), overrides)
    if changes:
        parse_params(yaml.safe_load(text), f"{path} with the overrides of this run")
        atomic.write_bytes(path, text.encode())
    return [f"{change.key}: {change.old} -> {change.new}" for change in changes]
