"""The files of a saved model's folder."""

from __future__ import annotations

from pathlib import Path

MODEL_NAME = "model.json"
"""Kind, config and provenance of the weights."""
WEIGHTS_NAME = "weights.safetensors"


def holds_model(folder: Path) -> bool:
    """Whether a model was saved in the folder."""
    return (folder / MODEL_NAME).is_file()
