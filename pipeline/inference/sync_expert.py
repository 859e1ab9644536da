"""A trained sync expert read from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.syncnet import SyncNet, SyncNetConfig
from pipeline.inference import saved_model

EXPERT_KIND = "syncnet"


def read_expert(folder: Path) -> tuple[SyncNet, dict[str, Any]]:
    """The network and what its training noted beside it. Raises FileNotFoundError or ValueError with the remedy."""
    saved = saved_model.load_model(folder)
    if saved.kind != EXPERT_KIND:
        raise ValueError(f"{folder} holds a {saved.kind}, not a sync expert ({EXPERT_KIND})")
    network = saved_model.restore(saved, lambda config: SyncNet(SyncNetConfig(**config)), "a sync expert", folder)
    return network, saved.info
