"""A small sync expert, untrained, as a saved model."""

from __future__ import annotations

from pathlib import Path

from models.syncnet import SyncNet, SyncNetConfig
from pipeline.inference import saved_model

EXPERT = SyncNetConfig(width=0.0625, embedding_dim=16, linear_heads=True)


def save_expert(folder: Path, accuracy: float, **further: str) -> None:
    config = {"width": EXPERT.width, "embedding_dim": EXPERT.embedding_dim, "linear_heads": True}
    info = {"val_pairwise_accuracy": accuracy, **further}
    saved_model.save_model(folder, kind="syncnet", config=config, state=SyncNet(EXPERT).state_dict(), info=info)
