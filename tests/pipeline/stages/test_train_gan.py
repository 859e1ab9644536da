"""What is saved with a trained generator."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.core.layout import Layout
from pipeline.inference import saved_model
from pipeline.inference.saved_model import load_model, save_model
from pipeline.params import load_params
from pipeline.shards.index import IndexRow
from pipeline.shards.write import write_index
from pipeline.stage import StageContext
from pipeline.stages import train_gan
from pipeline.tracking.tracker import Tracker
from pipeline.training import session
from pipeline.training.loop import TrainingReport
from pipeline.training.session import Trained


def test_a_generator_names_the_geometry_of_its_clips(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    sizes = {"num_frames": 75, "num_samples": 48_000, "num_bytes": 1}
    row = IndexRow(clip_id="a", key="a", speaker="s", split="train", shard="t.tar", fps=25.0, crop="box", **sizes)
    write_index(layout.clips_dir, [row])
    save_model(layout.model_dir("train_syncnet"), kind="syncnet", config={}, state={"w": torch.zeros(1)}, info={})
    trainee = SimpleNamespace(
        generator=torch.nn.Linear(1, 1),
        weights=lambda: {"w": torch.zeros(1)},
        samples=lambda num: np.zeros((8, 8, 3), np.uint8),
    )
    report = TrainingReport([{"step": 1.0}], {"loss": 0.5}, 1, 0, 1.0, 0.0)
    monkeypatch.setattr(session, "run_training", lambda *_: Trained(trainee, report, False))
    params = load_params(repo_root / "params.yaml")
    context = StageContext("train_gan", "no_lstm", params, layout, Tracker(None, None), "0" * 16, layout.scratch_dir)
    train_gan._body("no_lstm", context)
    saved = load_model(context.output_dir / "model")
    assert (saved.info["crop"], saved_model.geometry_of(saved, tmp_path)) == ("box", "box")
