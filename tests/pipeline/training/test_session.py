"""Held-out clips of a training, and what is saved with a trained sync network."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.inference.saved_model import load_model
from pipeline.shards.read import read_index
from pipeline.shards.write import write_index
from pipeline.stage import StageContext
from pipeline.training import session
from pipeline.training.loop import TrainingReport
from pipeline.training.session import SyncTraining, Trained, Training, run_sync_training, spread_clips


class NoNetwork:
    def weights(self) -> dict[str, torch.Tensor]:
        return {"w": torch.zeros(1)}


@pytest.mark.parametrize(("part", "saved"), [("frames", "box"), ("context", None)])
def test_a_network_on_face_crops_names_their_geometry(
    make_context: Callable[..., StageContext],
    clips_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    saved: str | None,
) -> None:
    """The evaluator does not: it sees the context crops, which both geometries share."""
    context = make_context(1)
    context.layout.clips_dir.unlink()
    write_index(context.layout.clips_dir, [replace(row, crop="box") for row in read_index(clips_dir)])
    report = TrainingReport([{"step": 1.0}], {"pairwise_accuracy": 0.9}, 1, 0, 1.0, 0.0)
    monkeypatch.setattr(session, "run_training", lambda *_: Trained(NoNetwork(), report, False))
    monkeypatch.setattr(session, "spread_clips", lambda *_: [])
    monkeypatch.setattr(session.SyncValidation, "scores", lambda *_: {"pairwise_accuracy": 0.9})
    params, unused = context.params.train_syncnet, lambda *_: None
    training: Training[Any] = Training(params, unused, (part, "mel"), 0, unused)
    run_sync_training(context, SyncTraining("syncnet", {}, training, params))
    assert load_model(context.output_dir / "model").info.get("crop") == saved


def test_held_out_clips_are_read_one_at_a_time_and_without_unused_parts(clips_dir: Path) -> None:
    keys = [row.key for row in read_index(clips_dir, "train")]
    clips = spread_clips(clips_dir, "train", len(keys), ("mel",))
    first = weakref.ref(next(clips))
    second = next(clips)
    assert first() is None
    with pytest.raises(ValueError, match="frames"):
        second.crops([0])
    assert [clip.key for clip in spread_clips(clips_dir, "train", 2, ("mel",))] == [keys[0], keys[-1]]
