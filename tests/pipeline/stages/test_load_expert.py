"""The expert that a generator is trained with: its accuracy and its crop geometry are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.syncnet import SyncNet
from pipeline.core.errors import UserError
from pipeline.stages.train_gan import load_expert
from tests.support.small_expert import save_expert


def test_an_expert_near_chance_is_rejected_with_the_remedy(tmp_path: Path) -> None:
    save_expert(tmp_path, accuracy=0.52)
    with pytest.raises(UserError, match=r"0\.52.*chance 0\.50.*train_syncnet\.num_steps"):
        load_expert(tmp_path, 0.6, "square")
    assert isinstance(load_expert(tmp_path, 0.5, "square"), SyncNet)


def test_an_expert_of_another_crop_geometry_is_rejected_with_the_remedy(tmp_path: Path) -> None:
    save_expert(tmp_path, accuracy=0.9, crop="box")
    assert isinstance(load_expert(tmp_path, 0.5, "box"), SyncNet)
    said = r"trained on face crops of the geometry box, but the clips have square .*`dvc repro train_syncnet`"
    with pytest.raises(UserError, match=said):
        load_expert(tmp_path, 0.5, "square")
