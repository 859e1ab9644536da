"""Settings of a training on another machine: those of params.yaml, with options in their place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu_state import has_checkpoint
from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.core.mappings import differing_keys
from pipeline.params import Params, load_params, parse_params

SETTINGS_NAME = "settings.json"
MICRO_BATCHES = "micro_batches_that_fit"
"""Key in the file: the number of micro-batches since the memory was too small. No option sets it."""
OPTIONS = {
    "width": "--width (gpu.sh: WIDTH)",
    "num_steps": "--steps (STEPS)",
    "clips_per_batch": "--clips-per-batch (BATCH)",
    "learning_rate": "--learning-rate (LEARNING_RATE)",
}
"""Setting of train_gan -> the option that replaces it."""
REPLACED = f"the options {', '.join(OPTIONS.values())} replace settings of params.yaml here"
WITHOUT_EFFECT = {"checkpoint_every", "validate_every", "keep", "patience", "min_expert_accuracy"}
"""Settings of train_gan that do not change the weights of a step here."""


def replaced_params(path: Path, variant: str, replacements: Mapping[str, Any], expert_width: float) -> Params:
    """The settings for the training of one variant in one process, with ``replacements`` in train_gan.

    A generator of another width than the expert starts at random. Raises ParamsError.
    """
    given = load_params(path)
    given.require_variant(variant)
    content = given.model_dump()
    content["train_gan"] |= replacements
    content["train_syncnet"]["width"] = expert_width
    if content["train_gan"]["width"] != expert_width:
        content["train_gan"]["audio_start"] = "random"
    content["runtime"]["num_processes"] = 1
    content["variants"] = {variant: content["variants"][variant]}
    content["promote"]["variant"] = variant
    values = ", ".join(f"{text} {replacements[name]}" for name, text in OPTIONS.items())
    return parse_params(content, f"{path} with {values}")


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> int | None:
    """Write the settings of a new training. Raises UserError if the folder has a training with other settings.

    Returns the number of micro-batches of ``keep_micro_batches``, if there is one.
    """
    path = folder / SETTINGS_NAME
    flat = json.loads(json.dumps(dict(_flattened(settings, ""))))
    if not (has_checkpoint(folder) and path.is_file()):
        atomic.write_json(path, flat)
        return None
    earlier = json.loads(path.read_text())
    if differing := differing_keys(earlier, flat, without=(MICRO_BATCHES,)):
        changes = [f"{_name_of(key)} was {earlier.get(key)!r} and is now {flat.get(key)!r}" for key in differing]
        raise UserError(
            f"{folder} has a training with other settings: {', '.join(changes)}; restore them to continue it, or use "
            "another folder (gpu.sh: STATE) to start a new one"
        )
    found: int | None = earlier.get(MICRO_BATCHES)
    return found


def keep_micro_batches(folder: Path, num: int) -> None:
    """Let later runs of the training use this number of micro-batches."""
    path = folder / SETTINGS_NAME
    atomic.write_json(path, json.loads(path.read_text()) | {MICRO_BATCHES: num})


def _flattened(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Pairs of key and value. The keys of a mapping in a mapping are joined by a dot."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _name_of(key: str) -> str:
    """The key, and the option that sets it if there is one."""
    option = OPTIONS.get(key.removeprefix("train_gan."))
    return f"{key}, {option}," if option else key
