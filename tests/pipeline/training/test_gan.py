"""Training of generators: losses and their schedule, frozen expert, validation, samples, seeds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml

from models.choices import LstmOver
from models.generator import Generator, GeneratorConfig
from models.syncnet import SyncNet
from pipeline.core.choices import CropGeometry
from pipeline.core.errors import UserError
from pipeline.inference.generator_kinds import KINDS, OURS, GeneratorKind
from pipeline.params import LipGanVariant, Speech2VidVariant, TrainGanParams, Wav2LipVariant
from pipeline.stages.train_gan import build_trainee
from pipeline.training.adversaries import ADAM_BETAS, QualityAdversary
from pipeline.training.gan import GanTrainee, init_audio_encoder
from pipeline.training.generator_windows import CutGeneratorWindow, window_cut
from pipeline.training.loss_weights import weights_at, without
from pipeline.training.variants import Recipe, recipe_of
from tests.support.small_expert import EXPERT, save_expert


class FakeClip(NamedTuple):
    num_frames: int
    mel: np.ndarray
    audio: np.ndarray
    crops: Callable[[Any], np.ndarray]
    geometry: CropGeometry = "square"
    crop_px: int = 96

    def __hash__(self) -> int:
        return id(self)


def clip(seed: int, side_px: int = 96) -> Any:
    """A clip of 30 random frames with random audio."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (30, side_px, side_px, 3), dtype=np.uint8)
    mel = rng.uniform(-4, 4, (97, 80)).astype(np.float32)
    audio = rng.integers(-9000, 9000, 30 * 640).astype(np.int16)
    return FakeClip(30, mel, audio, lambda indices: frames[np.asarray(indices)])


@pytest.fixture
def params(repo_root: Path) -> TrainGanParams:
    section = yaml.safe_load((repo_root / "params.yaml").read_text())["train_gan"]
    section |= {
        "width": 0.0625,
        "discriminator_width": 0.0625,
        "num_steps": 6,
        "warmup_steps": 0,
        "clips_per_batch": 2,
        "ema_decay": 0.5,
        "losses": {
            "sync": {"weight": 0.03, "start_step": 2, "ramp_steps": 2},
            "adversarial": {"weight": 0.005, "start_step": 4, "ramp_steps": 0},
            "perceptual": {"weight": 0.2, "start_step": 1, "ramp_steps": 0},
            "feature_matching": {"weight": 0.1, "start_step": 5, "ramp_steps": 0},
            "temporal": {"weight": 0.4, "start_step": 3, "ramp_steps": 0},
            "mouth": {"weight": 0.3, "start_step": 0, "ramp_steps": 0},
        },
        "num_validation_windows": 4,
        "precision": "fp32",
    }
    return TrainGanParams(**section)


def small_recipe(params: TrainGanParams, **changes: Any) -> Recipe:
    """The recipe of `lstm_cbam` with a small LSTM. ``changes`` replace settings of the variant."""
    whole = {"use_lstm": True, "use_cbam": True, "use_discriminator": True, "use_further_losses": True}
    recipe = recipe_of(params, Wav2LipVariant(network="wav2lip", seed=None, **whole | changes))
    return replace(recipe, config=replace(recipe.config, lstm_hidden=8))


def trainee_of(params: TrainGanParams, recipe: Recipe | None = None, geometry: CropGeometry = "square") -> GanTrainee:
    torch.manual_seed(0)
    expert, clips = SyncNet(EXPERT), [clip(seed)._replace(geometry=geometry) for seed in (0, 1)]
    return GanTrainee(params, recipe or small_recipe(params), expert, clips, torch.device("cpu"), validation_seed=3)


@pytest.fixture
def trainee(params: TrainGanParams) -> GanTrainee:
    return trainee_of(params)


def batch(kind: GeneratorKind = OURS, num_frames: int = 5, side_px: int = 96) -> dict[str, torch.Tensor]:
    items = [
        CutGeneratorWindow(6, 3, kind=kind, num_frames=num_frames)(clip(seed, side_px), np.random.default_rng(seed))
        for seed in (5, 6)
    ]
    assert items[0] is not None
    assert items[1] is not None
    return {name: torch.from_numpy(np.stack([item[name] for item in items if item])) for name in items[0]}


TERMS = ("l1", "sync", "adversarial", "perceptual", "feature_matching", "temporal", "mouth")


def test_the_loss_is_the_weighted_sum_and_the_schedule_is_logged(trainee: GanTrainee) -> None:
    rows = [{name: float(value) for name, value in trainee.step(batch(), step).items()} for step in range(6)]
    weights = {name: [row[f"{name}_weight"] for row in rows] for name in TERMS}
    assert weights["sync"] == pytest.approx([0, 0, 0.015, 0.03, 0.03, 0.03])
    assert weights["adversarial"] == [0, 0, 0, 0, 0.005, 0.005]
    assert weights["perceptual"] == [0, *[0.2] * 5]
    assert weights["feature_matching"] == [*[0] * 5, 0.1]
    assert weights["mouth"] == [0.3] * 6
    assert weights["temporal"] == [*[0] * 3, *[0.4] * 3]
    assert [row["l1_weight"] for row in rows] == pytest.approx([1, 1, 0.985, 0.97, 0.965, 0.965])
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row[f"{name}_weight"] * row.get(name, 0.0) for name in TERMS), rel=1e-5)
        assert ("d_loss" in row) == (row["adversarial_weight"] > 0)
        assert all(row[name] > 0 for name in TERMS if row[f"{name}_weight"] > 0)


def test_the_mouth_loss_looks_where_the_mouth_is_in_crops_of_this_geometry(params: TrainGanParams) -> None:
    square, box = (trainee_of(params, geometry=geometry).step(batch(), 0) for geometry in ("square", "box"))
    assert float(square["l1"]) == float(box["l1"])
    assert float(square["mouth"]) != float(box["mouth"])


def test_terms_of_weight_0_are_neither_computed_nor_logged(params: TrainGanParams) -> None:
    only_l1 = {name: {"weight": 0.0, "start_step": 0, "ramp_steps": 0} for name in TERMS if name != "l1"}
    plain = TrainGanParams(**params.model_dump() | {"losses": only_l1})
    row = trainee_of(plain).step(batch(), 5)
    assert set(row) == {"loss", "l1", "l1_weight", "grad_norm", "learning_rate"}
    assert float(row["loss"]) == float(row["l1"])


def test_the_discriminators_learning_rate_decays_with_the_generators(params: TrainGanParams) -> None:
    trainee = trainee_of(params)
    adversary = trainee._adversary
    assert isinstance(adversary, QualityAdversary)
    for step in (4, 5):
        row = trainee.step(batch(), step)
        (group,) = adversary._loss.optimiser.param_groups
        expected = params.discriminator_learning_rate * float(row["learning_rate"]) / params.learning_rate
        assert group["lr"] == pytest.approx(expected)
        assert group["lr"] < params.discriminator_learning_rate


def betas_of(trainee: GanTrainee) -> tuple[Any, Any]:
    """Adam's betas of the generator and of the discriminator, if the trainee has one."""
    state = trainee.state_dict()
    own = {group["betas"] for group in state["optimiser"]["param_groups"]}
    adversary = state["adversary"].get("_extra_state", {"param_groups": []})
    return own, {group["betas"] for group in adversary["param_groups"]}


def test_each_optimiser_has_its_variants_betas(params: TrainGanParams) -> None:
    params = params.model_copy(update={"betas": (0.3, 0.99)})
    assert betas_of(trainee_of(params)) == ({(0.3, 0.99)}, {(0.3, 0.99)})
    alone = small_recipe(params, use_discriminator=False)
    assert betas_of(trainee_of(params, alone)) == ({ADAM_BETAS}, set())
    lipgan = recipe_of(params, LipGanVariant(network="lipgan", seed=None, contrastive_weight=0.01))
    assert betas_of(trainee_of(params, lipgan)) == ({(0.9, 0.999)}, {(0.9, 0.999)})


def test_the_gradient_of_a_batch_is_the_mean_of_its_micro_batches(params: TrainGanParams) -> None:
    """With two equal micro-batches it equals the gradient of one: BatchNorm and negatives use one micro-batch each."""
    plain = params.model_copy(update={"losses": without(params.losses, "adversarial", "feature_matching")})
    one = {name: tensor[:1] for name, tensor in batch().items()}
    two = {name: tensor.repeat(2, *[1] * (tensor.dim() - 1)) for name, tensor in one.items()}
    alone, in_parts = trainee_of(plain), trainee_of(plain.model_copy(update={"micro_batches": 2}))
    for step in (3, 4):
        expected, row = alone.step(one, step), in_parts.step(two, step)
        assert {name: float(value) for name, value in row.items()} == pytest.approx(
            {name: float(value) for name, value in expected.items()}, rel=1e-4
        )
    for own, other in zip(alone.generator.parameters(), in_parts.generator.parameters(), strict=True):
        assert torch.allclose(own, other, atol=1e-6)


def test_a_discriminator_makes_one_step_per_micro_batch_at_a_reduced_rate(params: TrainGanParams) -> None:
    rates: dict[int, float] = {}
    for num in (1, 2):
        trainee = trainee_of(params.model_copy(update={"micro_batches": num}))
        trainee.step(batch(), 5)
        assert isinstance(trainee._adversary, QualityAdversary)
        optimiser = trainee._adversary._loss.optimiser
        assert all(state["step"] == num for state in optimiser.state.values())
        rates[num] = optimiser.param_groups[0]["lr"]
    assert rates[2] == pytest.approx(rates[1] / 2)


def test_losses_that_a_variant_leaves_out_are_not_trained(params: TrainGanParams) -> None:
    def terms(**changes: bool) -> set[str]:
        row = trainee_of(params, small_recipe(params, **changes)).step(batch(), 5)
        return {name for name in TERMS if name in row}

    assert terms() == set(TERMS)
    assert terms(use_discriminator=False) == {"l1", "sync", "perceptual", "temporal", "mouth"}
    assert terms(use_further_losses=False) == {"l1", "sync", "adversarial"}
    assert terms(use_discriminator=False, use_further_losses=False) == {"l1", "sync"}


@pytest.mark.parametrize(
    ("variant", "terms"),
    [
        (LipGanVariant(network="lipgan", seed=None, contrastive_weight=0.01), {"l1", "contrastive"}),
        (Speech2VidVariant(network="speech2vid", seed=None), {"l1"}),
    ],
)
def test_a_baseline_has_its_own_losses_and_the_same_validation(
    params: TrainGanParams, variant: Any, terms: set[str]
) -> None:
    recipe = recipe_of(params, variant)
    trainee = trainee_of(params, recipe)
    row = trainee.step(batch(recipe.kind), 5)
    assert {name for name in (*TERMS, "contrastive") if name in row} == terms
    expected = sum(float(row[f"{name}_weight"]) * float(row[name]) for name in terms)
    assert float(row["loss"]) == pytest.approx(expected, rel=1e-5)
    assert ("d_loss" in row) == (variant.network == "lipgan")
    found = trainee.validate()
    assert found["loss"] == found["l1"]
    assert {"sync", "sync_of_real", "lower_l1"} < set(found)
    assert trainee.samples(2).shape == (192, 384, 3)
    assert KINDS[recipe.kind.name] is recipe.kind

    other = trainee_of(params, recipe)
    other.load_state_dict(copy.deepcopy(trainee.state_dict()))  # a checkpoint shares nothing
    torch.manual_seed(4)
    first = trainee.step(batch(recipe.kind), 4)
    torch.manual_seed(4)
    second = other.step(batch(recipe.kind), 4)
    assert {k: float(v) for k, v in first.items()} == {k: float(v) for k, v in second.items()}


def test_longer_windows_train_an_lstm_over_frames(params: TrainGanParams) -> None:
    # With predicts change the last layer starts at zero, so the first step changes that layer only.
    longer = params.model_copy(update={"window_frames": 10, "lstm_over": "frames", "predicts": "image"})
    trainee = trainee_of(longer, small_recipe(longer))
    assert trainee.generator.frame_lstm is not None
    before = trainee.generator.frame_lstm.projection.weight.detach().clone()
    row = trainee.step(batch(num_frames=10), 5)
    assert not torch.equal(before, trainee.generator.frame_lstm.projection.weight)
    assert float(row["sync"]) > 0
    assert trainee.validate()["sync"] > 0


@pytest.mark.parametrize(("lstm_over", "num_columns"), [("context", 80), ("context_both", 96)])
def test_an_lstm_over_context_trains_on_windows_with_context(
    params: TrainGanParams, lstm_over: LstmOver, num_columns: int
) -> None:
    recipe = small_recipe(params.model_copy(update={"lstm_over": lstm_over, "predicts": "image"}))
    trainee = trainee_of(params, recipe)
    windows, ours = batch(recipe.kind), batch()
    assert windows["audio"].shape[-1] == num_columns
    assert torch.equal(windows["audio"][..., 64:80], ours["audio"])
    assert trainee.generator.mel_lstm is not None
    before = trainee.generator.mel_lstm.projection.weight.detach().clone()
    trainee.step(windows, 5)
    assert not torch.equal(before, trainee.generator.mel_lstm.projection.weight)
    without_lstm = small_recipe(params.model_copy(update={"lstm_over": lstm_over}), use_lstm=False)
    assert without_lstm.kind is OURS


@pytest.mark.parametrize(
    "variant",
    [
        LipGanVariant(network="lipgan", seed=None, contrastive_weight=0.01),
        Speech2VidVariant(network="speech2vid", seed=None),
    ],
)
def test_baselines_train_on_longer_windows_too(params: TrainGanParams, variant: Any) -> None:
    longer = params.model_copy(update={"window_frames": 10})
    recipe = recipe_of(longer, variant)
    trainee = trainee_of(longer, recipe)
    assert float(trainee.step(batch(recipe.kind, num_frames=10), 5)["l1"]) > 0
    assert trainee.samples(1).shape == (96, 384, 3)


def test_the_sync_loss_of_a_longer_window_is_the_mean_over_its_5_frame_windows(params: TrainGanParams) -> None:
    """This holds for the BCE objective, which has no negatives from other windows."""
    trainee = trainee_of(params.model_copy(update={"sync_objective": "bce"}))
    faces, mel = torch.rand(3, 10, 3, 96, 96), torch.randn(3, 2, 1, 80, 16)
    whole = trainee._sync(trainee._expert_features(faces)[0], mel)
    fives = [
        trainee._sync(trainee._expert_features(faces[:, 5 * s : 5 * s + 5])[0], mel[:, s : s + 1]) for s in range(2)
    ]
    assert float(whole.detach()) == pytest.approx(float(torch.stack(fives).mean().detach()), rel=1e-4)


def test_validation_uses_full_loss_weights_and_the_averaged_network(
    trainee: GanTrainee, params: TrainGanParams
) -> None:
    for step in range(2):
        trainee.step(batch(), step)
    first = trainee.validate()
    weights = weights_at(params.losses, None)
    terms = ("l1", "sync", "perceptual", "temporal", "mouth")
    assert first["loss"] == pytest.approx(sum(weights[name] * first[name] for name in terms), rel=1e-5)
    with torch.no_grad():
        for parameter in trainee.generator.parameters():
            parameter.zero_()
    assert trainee.validate() == first  # validation does not use the generator itself
    trainee.use_weights({name: torch.zeros_like(tensor) for name, tensor in trainee.weights().items()})
    assert trainee.validate()["l1"] != first["l1"]


def test_a_validation_batch_contains_no_clip_twice(params: TrainGanParams) -> None:
    two = trainee_of(params)  # of two clips
    more = trainee_of(params.model_copy(update={"clips_per_batch": 6}))
    assert more.validate()["sync"] == pytest.approx(two.validate()["sync"])


def test_infonce_depends_on_the_audio_of_other_moments_and_bce_does_not(params: TrainGanParams) -> None:
    def sync(objective: str, batch: dict[str, torch.Tensor]) -> float:
        return float(trainee_of(params.model_copy(update={"sync_objective": objective})).step(batch, 0)["sync"])

    first, second = batch(), batch()
    second["sync_mel"][:, :, 1:] = torch.randn_like(second["sync_mel"][:, :, 1:])
    assert sync("bce", first) == sync("bce", second)
    assert sync("infonce", first) != pytest.approx(sync("infonce", second), abs=1e-4)
    assert window_cut(params, OURS, is_augmented=False).num_other_audio == params.sync_negatives > 0
    assert window_cut(params.model_copy(update={"sync_objective": "bce"}), OURS, is_augmented=True).num_other_audio == 0


def test_the_audio_encoder_is_initialised_from_the_expert_except_for_its_head() -> None:
    generator, expert = Generator(GeneratorConfig(width=0.0625, lstm_hidden=8)), SyncNet(EXPERT)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    init_audio_encoder(generator, expert)
    after, learned = generator.state_dict(), expert.audio_encoder.state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    for name in changed:
        assert torch.equal(after[name], learned[name.removeprefix("audio_encoder.")])
    own = {name.removeprefix("audio_encoder.") for name in after if name.startswith("audio_encoder.")}
    weights = {name for name in own & set(learned) if name.endswith("conv.weight")}
    assert {f"audio_encoder.{name}" for name in weights if not name.startswith("head.")} <= changed
    assert not any(".head." in name for name in changed)

    with pytest.raises(UserError, match=r"train_gan\.width is 0\.25, the expert's 0\.0625; set .* to the same value"):
        init_audio_encoder(Generator(GeneratorConfig(width=0.25)), expert)


def test_the_expert_never_changes(trainee: GanTrainee) -> None:
    before = {name: tensor.clone() for name, tensor in trainee.expert.state_dict().items()}
    for step in range(3, 6):
        trainee.step(batch(), step)
    after = trainee.expert.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_restored_trainee_makes_the_same_next_step(trainee: GanTrainee, params: TrainGanParams) -> None:
    for step in range(4):
        trainee.step(batch(), step)
    other = trainee_of(params)
    other.load_state_dict(copy.deepcopy(trainee.state_dict()))  # a checkpoint shares nothing
    first, second = trainee.step(batch(), 4), other.step(batch(), 4)
    assert {k: float(v) for k, v in first.items()} == {k: float(v) for k, v in second.items()}


def test_samples_show_target_mask_reference_and_result(trainee: GanTrainee) -> None:
    image = trainee.samples(2)
    assert image.shape == (2 * 96, 4 * 96, 3)
    assert (image[48:96, 96:192] == 0).all()  # the masked lower half
    assert (image[:48, 96:192] == image[:48, :96]).all()


@pytest.mark.parametrize(("variant", "sees_upper_half"), [("lipgan", True), ("speech2vid", False)])
def test_samples_show_the_visible_part_of_the_target_for_a_baseline(
    params: TrainGanParams, variant: str, sees_upper_half: bool
) -> None:
    baseline = (
        LipGanVariant(network="lipgan", seed=None, contrastive_weight=0.01)
        if variant == "lipgan"
        else Speech2VidVariant(network="speech2vid", seed=None)
    )
    image = trainee_of(params, recipe_of(params, baseline)).samples(1)
    assert (image[48:96, 96:192] == 0).all()
    assert bool((image[:48, 96:192] == image[:48, :96]).all()) is sees_upper_half


def test_seeds_change_the_initial_weights_and_not_the_validation_windows(
    params: TrainGanParams, tmp_path: Path
) -> None:
    save_expert(tmp_path, accuracy=0.9)
    arm = Wav2LipVariant(
        network="wav2lip", seed=None, use_lstm=False, use_cbam=False, use_discriminator=True, use_further_losses=True
    )
    clips, cpu = [clip(0), clip(1)], torch.device("cpu")
    first, again, other = (build_trainee(params, arm, tmp_path, seed, 3, clips, cpu) for seed in (1, 1, 2))
    start = {name: tensor.clone() for name, tensor in first.generator.state_dict().items()}
    assert all(torch.equal(start[name], tensor) for name, tensor in again.generator.state_dict().items())
    assert not all(torch.equal(start[name], tensor) for name, tensor in other.generator.state_dict().items())
    other.use_weights(first.weights())
    assert other.validate() == first.validate()
    elsewhere = build_trainee(params, arm, tmp_path, 1, 4, clips, cpu)
    assert elsewhere.validate() != first.validate()
