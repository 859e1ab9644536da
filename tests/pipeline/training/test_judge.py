"""The accuracy of a judge by groups of speakers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.lse_syncnet import LseSyncNet
from pipeline.core.artifacts import read_curve_rows
from pipeline.inference import lse_evaluator, saved_model
from pipeline.inference.lse_evaluator import judge_dir
from pipeline.shards.write import shard_name, write_index, write_shard
from pipeline.stage import StageContext
from pipeline.stages import train_evaluator
from pipeline.training.judge import group_of, judge_accuracy, known_offsets_found
from tests.pipeline.training.conftest import make_sample


def test_groups_are_told_apart_by_the_speakers_name() -> None:
    names = ["r0000", "s1", "unseen-s2"]
    assert [group_of(name) for name in names] == ["rendered_unseen", "grid_known", "grid_unseen"]


@pytest.mark.parametrize("audio_leads", [-3, 0, 3])
def test_known_offsets_are_found_only_in_a_clip_in_sync(audio_leads: int) -> None:
    sequence = np.random.default_rng(0).standard_normal((70, 8)).astype(np.float32)
    found = known_offsets_found(sequence, np.roll(sequence, -audio_leads, axis=0))
    assert len(found) == 21
    assert np.mean(found) == (1.0 if audio_leads == 0 else 0.0)
    assert known_offsets_found(sequence[:40], sequence[:40]) == []


def test_each_group_has_its_own_accuracy() -> None:
    """The evaluator embeds clips of s1 in sync and those of rendered speakers five frames late."""

    def embeddings(context: Any, audio: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        places = np.eye(60, dtype=np.float32)
        return places[:40], places[audio : audio + 40]

    def clip(speaker: str, late: int) -> Any:
        return SimpleNamespace(speaker=speaker, num_frames=44, context=lambda indices: indices, audio=late)

    clips = [clip("s1", 0), clip("s1", 0), clip("r0000", 5), clip("r0015", 5)]
    found = judge_accuracy(embeddings, clips, seed=1)  # type: ignore[arg-type]
    assert found["grid_known"] == {
        "pairwise_accuracy": 1.0,
        "offset_within_one_frame": 1.0,
        "known_offsets_found": None,  # the clips are too short
        "num_clips": 2,
        "num_speakers": 1,
    }
    assert found["rendered_unseen"]["offset_within_one_frame"] == 0.0
    assert found["rendered_unseen"]["pairwise_accuracy"] < 0.1
    assert found["rendered_unseen"]["num_speakers"] == 2


@pytest.fixture
def context(make_context: Callable[..., StageContext]) -> StageContext:
    """A checkout with two held-out clips."""
    made = make_context(1)
    clips_dir = made.layout.clips_dir
    clips_dir.unlink()
    samples = [make_sample(f"a/{number}", "test", 30) for number in range(2)]
    write_index(clips_dir, write_shard(clips_dir, shard_name("test", 0), samples))
    return made


def test_the_stage_measures_the_judge_and_trains_nothing(context: StageContext) -> None:
    metrics = train_evaluator._body(context)

    assert metrics["judge"] == "judge-1"
    assert metrics["test_num_clips"] == 2
    assert metrics["test_pairwise_accuracy"] < 0.8  # the audio is noise
    source, made = judge_dir("judge-1"), context.output_dir
    for name in ("weights.safetensors", "model.json"):
        assert (made / "model" / name).read_bytes() == (source / name).read_bytes()
    assert (made / "curve.csv").read_bytes() == (source / "curve.csv").read_bytes()
    assert (made / "curve.png").stat().st_size > 0
    assert not list(context.scratch.iterdir())


def test_the_stage_measures_the_published_evaluator_and_trains_nothing(
    context: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lse_evaluator, "OFFICIAL_WIDTH", 0.03)
    path = tmp_path / "syncnet_v2.model"
    torch.save(LseSyncNet(0.03).state_dict(), path)
    lse = context.params.evaluate.lse.model_copy(update={"weights": path})
    evaluate = context.params.evaluate.model_copy(update={"lse": lse})
    context = replace(context, params=context.params.model_copy(update={"evaluate": evaluate}))

    metrics = train_evaluator._body(context)

    assert metrics["test_num_clips"] == 2
    assert "judge" not in metrics
    saved = saved_model.load_model(context.output_dir / "model")
    assert saved.config == {"width": 0.03}
    assert read_curve_rows(context.output_dir / "curve.csv") == [
        {"step": 0.0, "loss": pytest.approx(metrics["test_loss"], rel=1e-4)}
    ]
    assert (context.output_dir / "curve.png").stat().st_size > 0
