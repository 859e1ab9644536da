"""Freezing of sync scorers, and loading of frozen ones."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.syncnet import SyncNet, SyncNetConfig
from pipeline.cli.main import app
from pipeline.core.choices import CropGeometry
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.core.model_files import MODEL_NAME, WEIGHTS_NAME
from pipeline.inference import saved_model
from pipeline.inference.sync_expert import clip_cosines
from pipeline.params import load_params
from pipeline.sync_filter.scorer import ExpertScorer, load_scorer
from tests.support.sound import early_by

CONFIG = SyncNetConfig(width=0.0625, embedding_dim=16)


def save_expert(folder: Path, kind: str = "syncnet", seed: int = 0, **info: str) -> Path:
    torch.manual_seed(seed)
    saved_model.save_model(folder, kind=kind, config=asdict(CONFIG), state=SyncNet(CONFIG).state_dict(), info=info)
    return folder


@pytest.fixture
def layout(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((repo_root / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIPSMITH_WEIGHTS_DIR", raising=False)
    return Layout(tmp_path)


def test_a_later_training_does_not_change_the_frozen_expert(layout: Layout) -> None:
    before = layout.params_path.read_text()
    model_dir = save_expert(layout.model_dir("train_syncnet"))
    frozen_digest = saved_model.model_sha256(model_dir)
    done = CliRunner().invoke(app, ["freeze-scorer"])
    assert done.exit_code == 0, done.output
    assert "next: dvc repro" in done.output
    save_expert(model_dir, seed=1)
    params = load_params(layout.params_path).sync_filter
    assert params.scorer_sha256 == frozen_digest
    scorer = load_scorer(params, layout.root, torch.device("cpu"), "square")
    assert isinstance(scorer, ExpertScorer)
    torch.manual_seed(0)
    assert torch.equal(next(scorer.network.parameters()), next(SyncNet(CONFIG).parameters()))
    after = layout.params_path.read_text()
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line.split(":")[0].strip() for line in changed] == ["scorer", "scorer_sha256"]
    assert all("#" in line for line in changed)  # comments stay


@pytest.mark.parametrize("crop", get_args(CropGeometry))
def test_a_frozen_expert_is_shown_crops_of_its_own_geometry(layout: Layout, crop: CropGeometry) -> None:
    save_expert(layout.model_dir("train_syncnet"), crop=crop)
    assert CliRunner().invoke(app, ["freeze-scorer"]).exit_code == 0
    params = load_params(layout.params_path).sync_filter
    scorers = {
        stored: load_scorer(params, layout.root, torch.device("cpu"), stored) for stored in get_args(CropGeometry)
    }
    assert {stored: scorer.parts for stored, scorer in scorers.items()} == {
        stored: ("frames" if stored == crop else "context", "mel") for stored in scorers
    }
    random = np.random.default_rng(0)
    cuts: dict[str, Any] = {}
    for geometry in scorers:
        crops = random.integers(0, 256, (9, 96, 96, 3), dtype=np.uint8)
        cuts[geometry] = SimpleNamespace(num_frames=9, mel=np.zeros((30, 80), np.float32), crops=crops.__getitem__)
        cuts[geometry].recut = cuts.__getitem__
    network = SyncNet(CONFIG).eval()
    network.load_state_dict(saved_model.load_model(layout.model_dir("train_syncnet")).state)
    expected = {geometry: clip_cosines(network, clip, torch.device("cpu")) for geometry, clip in cuts.items()}
    assert (expected["square"] != expected["box"]).any()
    for stored, scorer in scorers.items():
        np.testing.assert_array_equal(scorer.similarity(cuts[stored]), expected[crop])


def test_freezing_keeps_the_line_endings_of_params_yaml(layout: Layout) -> None:
    layout.params_path.write_bytes(layout.params_path.read_bytes().replace(b"\n", b"\r\n"))
    save_expert(layout.model_dir("train_syncnet"))
    assert CliRunner().invoke(app, ["freeze-scorer"]).exit_code == 0
    content = layout.params_path.read_bytes()
    assert b"scorer: weights/sync_scorer-" in content
    assert content.count(b"\r\n") == content.count(b"\n")


def test_freezing_the_same_expert_again_changes_nothing(layout: Layout) -> None:
    save_expert(layout.model_dir("train_syncnet"))
    CliRunner().invoke(app, ["freeze-scorer"])
    text = layout.params_path.read_text()
    frozen = next(layout.weights_dir.glob("sync_scorer-*"))
    for arguments in ([], ["--from", str(frozen)]):
        again = CliRunner().invoke(app, ["freeze-scorer", *arguments])
        assert again.exit_code == 0 and "nothing changed" in again.output
        assert layout.params_path.read_text() == text


def test_a_frozen_expert_of_another_version_is_rejected(layout: Layout) -> None:
    save_expert(layout.model_dir("train_syncnet"))
    CliRunner().invoke(app, ["freeze-scorer"])
    params = load_params(layout.params_path).sync_filter
    assert params.scorer is not None
    described = layout.root / params.scorer / MODEL_NAME
    described.write_text(described.read_text().replace('"width"', '"girth"'))
    with pytest.raises(UserError, match=r"sync_filter\.scorer: .* holds a sync expert of another version of lipsmith"):
        load_scorer(params, layout.root, torch.device("cpu"), "square")


def test_a_missing_expert_and_a_generator_cannot_be_frozen(layout: Layout) -> None:
    done = CliRunner().invoke(app, ["freeze-scorer"])
    assert done.exit_code == 2
    assert "dvc repro train_syncnet" in done.output
    generator = save_expert(layout.root / "g", kind="generator")
    done = CliRunner().invoke(app, ["freeze-scorer", "--from", str(generator)])
    assert done.exit_code == 2
    assert "holds a model of kind 'generator', not a sync expert" in done.output


@pytest.mark.parametrize("content", [{"face_encoder.0.conv_block.0.weight": torch.zeros(1)}, None])
def test_a_file_is_frozen_only_if_it_is_syncnet_v2(layout: Layout, content: dict[str, torch.Tensor] | None) -> None:
    path, before = layout.root / "lipsync_expert.pth", layout.params_path.read_text()
    path.write_bytes(b"<html>") if content is None else torch.save(content, path)
    done = CliRunner().invoke(app, ["freeze-scorer", "--from", str(path)])
    assert done.exit_code == 2
    assert f"error: {path} is not syncnet_v2.model: it " in done.output and "adopt" in done.output
    assert layout.params_path.read_text() == before
    assert not layout.weights_dir.exists()


def test_a_scorer_whose_weights_have_changed_is_rejected(layout: Layout) -> None:
    save_expert(layout.model_dir("train_syncnet"))
    CliRunner().invoke(app, ["freeze-scorer"])
    params = load_params(layout.params_path).sync_filter
    assert params.scorer is not None
    save_expert(layout.root / params.scorer, seed=2)
    with pytest.raises(UserError, match="it has changed since it was frozen"):
        load_scorer(params, layout.root, torch.device("cpu"), "square")
    (layout.root / params.scorer / WEIGHTS_NAME).unlink()
    with pytest.raises(UserError, match="freeze-scorer"):
        load_scorer(params, layout.root, torch.device("cpu"), "square")


@pytest.mark.slow
def test_known_shifts_of_real_clips_are_found(shared_data: Path, repo_root: Path) -> None:
    """50 GRID clips with audio shifted by -6 to 6 frames. Needs an expert trained on GRID."""
    from pipeline.corpora.manifest import record_of
    from pipeline.preprocess.clip import process_clip
    from pipeline.shards.clip import Clip, clip_rng
    from pipeline.shards.write import ClipSample, _members
    from pipeline.sync_filter.decision import score_clip

    folder = os.environ.get("LIPSMITH_TEST_EXPERT")
    if not folder:
        pytest.skip(
            "set LIPSMITH_TEST_EXPERT to the folder of an expert trained on GRID (artifacts/train_syncnet/model)"
        )
    saved = saved_model.load_model(Path(folder))
    network = SyncNet(SyncNetConfig(**saved.config))
    network.load_state_dict(saved.state)
    scorer = ExpertScorer(network.eval(), torch.device("cpu"))
    params = load_params(repo_root / "params.yaml").preprocess
    found = []
    for number, path in enumerate(sorted((shared_data / "grid" / "s1").glob("*.m*"))[5::14][:50]):
        outcomes = process_clip(record_of(path.stem, "s1", "test", path, ""), params, Path("/"))
        (sample,) = (
            item for item in outcomes if isinstance(item, ClipSample)
        )  # files that begin with grey frames also yield a Reject
        lead = number % 13 - 6
        stored = Clip(sample.key, "", _members(sample), clip_rng(0, 0, sample.key))
        shifted = _with_sound_early(stored, lead)
        found.append(score_clip(scorer.similarity(shifted), 15).offset_frames - lead)
    assert len(found) == 50
    assert np.mean(np.abs(found) <= 1) >= 0.95


def _with_sound_early(clip, lead: int):
    from pipeline.features.mel import mel_spectrogram
    from pipeline.features.samples import int16_to_float

    audio = early_by(clip.audio, lead)
    clip._arrays = {"audio": audio, "mel": mel_spectrogram(int16_to_float(audio))}
    return clip
