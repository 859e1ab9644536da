"""The generator's training step: schedule, frozen expert, gate on the expert, samples."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from models.generator import Generator, GeneratorConfig
from models.syncnet import SyncNet, SyncNetConfig
from pipeline import checkpoint
from pipeline.params import TrainGanParams
from pipeline.stages.train_gan import load_expert
from pipeline.training.gan import GanTrainee, hear_as_the_expert, ramp, window_cut
from pipeline.training.windows import CutGeneratorWindow

EXPERT = SyncNetConfig(width=0.0625, embedding_dim=16, linear_heads=True)


def clip(seed: int) -> Any:
    """A clip of 30 noisy frames with random sound."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (30, 96, 96, 3), dtype=np.uint8)
    mel = rng.uniform(-4, 4, (97, 80)).astype(np.float32)
    return SimpleNamespace(num_frames=30, mel=mel, crops=lambda indices: frames[np.asarray(indices)])


@pytest.fixture
def params(repo_root: Path) -> TrainGanParams:
    section = yaml.safe_load((repo_root / "params.yaml").read_text())["train_gan"]
    section |= {
        "discriminator_width": 0.0625,
        "num_steps": 6,
        "warmup_steps": 0,
        "clips_per_batch": 2,
        "sync_weight": 0.03,
        "sync_start_step": 2,
        "sync_ramp_steps": 2,
        "adversarial_start_step": 4,
        "adversarial_ramp_steps": 0,
        "num_validation_windows": 4,
        "precision": "fp32",
    }
    return TrainGanParams(**section)


@pytest.fixture
def trainee(params: TrainGanParams) -> GanTrainee:
    torch.manual_seed(0)
    config = GeneratorConfig(width=0.0625, lstm_hidden=8)
    return GanTrainee(params, config, SyncNet(EXPERT), [clip(0), clip(1)], torch.device("cpu"), seed=3)


def batch() -> dict[str, torch.Tensor]:
    items = [CutGeneratorWindow(6, 3)(clip(seed), np.random.default_rng(seed)) for seed in (5, 6)]
    assert items[0] is not None
    assert items[1] is not None
    return {name: torch.from_numpy(np.stack([item[name] for item in items if item])) for name in items[0]}


def test_ramp() -> None:
    assert [ramp(step, 2, 4, 0.8) for step in range(8)] == pytest.approx([0, 0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert [ramp(step, 1, 0, 0.5) for step in range(3)] == [0, 0.5, 0.5]


def test_the_loss_is_the_weighted_sum_and_the_schedule_is_logged(trainee: GanTrainee, params: TrainGanParams) -> None:
    rows = [{name: float(value) for name, value in trainee.step(batch(), step).items()} for step in range(6)]
    assert [row["sync_weight"] for row in rows] == pytest.approx([0, 0, 0.015, 0.03, 0.03, 0.03])
    assert ["d_loss" in row for row in rows] == [False, False, False, False, True, True]
    for row in rows:
        sync, adversarial = row["sync_weight"], row["adversarial_weight"]
        expected = (1 - sync - adversarial) * row["l1"] + sync * row["sync"]
        assert row["loss"] == pytest.approx(expected + adversarial * row.get("adversarial", 0.0), rel=1e-5)


def test_infonce_reads_the_audio_of_other_moments_and_bce_does_not(params: TrainGanParams) -> None:
    def sync(objective: str, batch: dict[str, torch.Tensor]) -> float:
        torch.manual_seed(0)
        chosen = params.model_copy(update={"sync_objective": objective})
        config = GeneratorConfig(width=0.0625, lstm_hidden=8)
        trainee = GanTrainee(chosen, config, SyncNet(EXPERT), [clip(0)], torch.device("cpu"), seed=3)
        return float(trainee.step(batch, 0)["sync"])

    first, second = batch(), batch()
    second["sync_mel"][:, 1:] = torch.randn_like(second["sync_mel"][:, 1:])
    assert sync("bce", first) == sync("bce", second)
    assert sync("infonce", first) != pytest.approx(sync("infonce", second), abs=1e-4)
    assert window_cut(params, is_augmented=False).num_other_audio == params.sync_negatives > 0
    assert window_cut(params.model_copy(update={"sync_objective": "bce"}), is_augmented=True).num_other_audio == 0


def test_the_audio_encoder_starts_from_the_experts_but_for_its_head() -> None:
    generator, expert = Generator(GeneratorConfig(width=0.0625, lstm_hidden=8)), SyncNet(EXPERT)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    hear_as_the_expert(generator, expert)
    after, learned = generator.state_dict(), expert.audio_encoder.state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    for name in changed:
        assert torch.equal(after[name], learned[name.removeprefix("audio_encoder.")])
    own = {name.removeprefix("audio_encoder.") for name in after if name.startswith("audio_encoder.")}
    weights = {name for name in own & set(learned) if name.endswith("conv.weight")}
    assert {f"audio_encoder.{name}" for name in weights if not name.startswith("head.")} <= changed
    assert not any(".head." in name for name in changed)

    with pytest.raises(ValueError, match=r"train_gan\.width is 0\.25, the expert's 0\.0625"):
        hear_as_the_expert(Generator(GeneratorConfig(width=0.25)), expert)


def test_the_expert_never_changes(trainee: GanTrainee) -> None:
    before = {name: tensor.clone() for name, tensor in trainee.expert.state_dict().items()}
    for step in range(3, 6):
        trainee.step(batch(), step)
    after = trainee.expert.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_restored_trainee_makes_the_same_next_step(trainee: GanTrainee, params: TrainGanParams) -> None:
    for step in range(4):
        trainee.step(batch(), step)
    other = GanTrainee(params, trainee.generator.config, trainee.expert, [clip(0)], torch.device("cpu"), seed=3)
    other.load_state_dict(trainee.state_dict())
    first, second = trainee.step(batch(), 4), other.step(batch(), 4)
    assert {k: float(v) for k, v in first.items()} == {k: float(v) for k, v in second.items()}


def test_samples_show_target_mask_reference_and_result(trainee: GanTrainee) -> None:
    image = trainee.samples(2)
    assert image.shape == (2 * 96, 4 * 96, 3)
    assert (image[48:96, 96:192] == 0).all()  # the masked lower half
    assert (image[:48, 96:192] == image[:48, :96]).all()


def save_expert(folder: Path, accuracy: float) -> None:
    config = {"width": EXPERT.width, "embedding_dim": EXPERT.embedding_dim, "linear_heads": True}
    info = {"val_pairwise_accuracy": accuracy}
    checkpoint.save_model(folder, kind="syncnet", config=config, state=SyncNet(EXPERT).state_dict(), info=info)


def test_an_expert_near_chance_is_refused_with_what_to_do(tmp_path: Path) -> None:
    save_expert(tmp_path, accuracy=0.52)
    with pytest.raises(ValueError, match=r"0\.52.*chance 0\.50.*train_syncnet\.num_steps"):
        load_expert(tmp_path, 0.6)
    assert isinstance(load_expert(tmp_path, 0.5), SyncNet)
