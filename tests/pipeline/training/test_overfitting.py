"""Networks can overfit fixed windows, and they do it by means of the audio: other audio gives a high loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from models.syncnet import SyncNet, SyncNetConfig
from pipeline.features.alignment import num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import int16_to_float
from pipeline.inference.tensors import faces_to_float
from pipeline.params import Params, TrainEvaluatorParams, TrainGanParams, TrainSyncnetParams, load_params
from pipeline.training.evaluator import EvaluatorTrainee
from pipeline.training.expert import ExpertTrainee
from pipeline.training.gan import GanTrainee
from pipeline.training.generator_windows import window_cut
from pipeline.training.trainee import Batch
from pipeline.training.variants import Recipe, recipe_of

ROOT = Path(__file__).resolve().parents[3]
TESTED_ELSEWHERE = ("no_lstm", "no_cbam", "no_lstm_cbam", "lipgan")
"""The ablations are between lstm_cbam, which has every module, and wav2lip, which has no LSTM, CBAM or discriminator.
test_end_to_end.py trains no_lstm, and test_face_sizes.py no_cbam. test_lipgan.py overfits lipgan's generator, and
test_killed_trainings.py trains it with its discriminator."""
VARIANTS = [
    name for name in yaml.safe_load((ROOT / "params.yaml").read_text())["variants"] if name not in TESTED_ELSEWHERE
]
CPU = torch.device("cpu")
NUM_WINDOWS = 32
"""Fixed windows of a generator."""
NUM_PAIRS = 16
"""Fixed windows of a sync network, with their audio."""
SMALL: dict[str, Any] = {"width": 0.0625, "warmup_steps": 5, "precision": "fp32"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def noise_windows(audio: str, audio_shape: tuple[int, int], faces: str, size: tuple[int, int]) -> Batch:
    """Windows of 4 clips with random blocks and random audio. Only their pairing can be learned."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (NUM_PAIRS // 4, 4, 5, size[0] // 12, size[1] // 12, 3), np.uint8)
    sound = rng.uniform(-4, 4, (NUM_PAIRS // 4, 4, *audio_shape)).astype(np.float32)
    return {faces: torch.from_numpy(blocks.repeat(12, axis=3).repeat(12, axis=4)), audio: torch.from_numpy(sound)}


def with_other_audio(batch: Batch, audio: str) -> Batch:
    """The same windows, each with the audio of the previous window in the batch."""
    return {**batch, audio: batch[audio].roll(1, dims=0)}


@pytest.mark.parametrize(("objective", "chance"), [("infonce", math.log(NUM_PAIRS)), ("bce", math.log(2))])
def test_the_expert_learns_which_windows_belong_together(params: Params, objective: str, chance: float) -> None:
    changed = SMALL | {"objective": objective, "embedding_dim": 32, "num_steps": 20, "learning_rate": 0.002}
    trainee = ExpertTrainee(TrainSyncnetParams(**params.train_syncnet.model_dump() | changed), [], CPU, 0)
    batch = noise_windows("mel", (80, 16), "faces", (48, 96))
    losses = [float(trainee.step(batch, step)["loss"]) for step in range(20)]
    assert losses[-1] < 0.1 < chance
    assert float(trainee.step(with_other_audio(batch, "mel"), 19)["loss"]) > chance


def test_the_evaluator_learns_which_windows_belong_together(params: Params) -> None:
    changed = SMALL | {"num_steps": 25, "learning_rate": 0.005}
    trainee = EvaluatorTrainee(TrainEvaluatorParams(**params.train_evaluator.model_dump() | changed), [], CPU, 0)
    batch = noise_windows("mfcc", (13, 20), "context", (60, 60))
    losses = [float(trainee.step(batch, step)["loss"]) for step in range(25)]
    assert losses[-1] < 0.1
    assert float(trainee.step(with_other_audio(batch, "mfcc"), 24)["loss"]) > math.log(NUM_PAIRS)


NUM_FACES = 4
CHANGE = 90
"""Grey levels by which the lower half differs from the face's colours. The sign depends on the noise, low or high."""
MIN_L1_WITHOUT_AUDIO = CHANGE / 255 / 2
"""L1 of the best generator that ignores the audio. Any lower half between the two targets has this mean error."""
GOAL = 0.8 * MIN_L1_WITHOUT_AUDIO


class FaceWithSound:
    """A clip of one of four faces with low-pass or high-pass noise as audio."""

    num_frames, geometry = 30, "square"

    def __init__(self, number: int) -> None:
        rng = np.random.default_rng(number % NUM_FACES)
        self.face = rng.integers(CHANGE + 8, 248 - CHANGE, (6, 6, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
        is_high = number < NUM_FACES
        noise = np.random.default_rng(number).standard_normal(num_samples_of(self.num_frames))
        noise = np.diff(noise, prepend=0) if is_high else np.convolve(noise, np.full(16, 0.25), "same")
        self.audio = (2000 * noise).astype(np.int16)
        self.mel = mel_spectrogram(int16_to_float(self.audio))
        self._frame = self.face.astype(np.int64)
        self._frame[48:] += (CHANGE if is_high else -CHANGE) * np.array([1, -1, 1])

    def crops(self, indices: np.ndarray) -> np.ndarray:
        return np.repeat(self._frame.astype(np.uint8)[None], len(indices), axis=0)


def mouth_windows(params: TrainGanParams, recipe: Recipe) -> Batch:
    """Windows of each face with each of the two sounds. The references do not depend on the sound."""
    clips: list[Any] = [FaceWithSound(number) for number in range(2 * NUM_FACES)]
    cut = window_cut(params, recipe.kind, is_augmented=False)
    items = []
    for index in range(NUM_WINDOWS):
        clip = clips[index % len(clips)]
        item = cut(clip, np.random.default_rng(index))
        assert item is not None
        items.append(item | {"reference": np.broadcast_to(clip.face, item["reference"].shape)})
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}


@torch.inference_mode()
def generated_l1(recipe: Recipe, weights: Mapping[str, torch.Tensor], batch: Batch) -> float:
    network = recipe.build().eval()
    network.load_state_dict(weights)
    target = faces_to_float(batch["target"], CPU)
    faces = recipe.kind.face_input(target, faces_to_float(batch["reference"], CPU))
    return float((network(batch["audio"].unsqueeze(2), faces) - target).abs().mean())


NUM_STEPS = {"wav2lip": 40, "speech2vid": 80}
"""Number of steps of the shortened training, in which every loss becomes active."""
LEARNING_RATE = {"wav2lip": 0.003, "speech2vid": 0.003}
PATIENCE = 5
"""Factor by which training may take longer. All variants first generate the same image for both sounds. The length
of that phase differs between machines because of rounding."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_learns_to_generate_from_the_audio(params: Params, name: str) -> None:
    """The settings are those of params.yaml, with small networks and proportionally shortened loss schedules."""
    variant, section = params.variants[name], params.train_gan
    num_steps = NUM_STEPS[variant.network]
    losses = {
        term: {
            "weight": loss.weight,
            "start_step": loss.start_step * num_steps // section.num_steps,
            "ramp_steps": loss.ramp_steps * num_steps // section.num_steps,
        }
        for term, loss in section.losses
    }
    changed = {
        "discriminator_width": 0.0625,
        "num_steps": PATIENCE * num_steps,
        "learning_rate": LEARNING_RATE[variant.network],
        "ema_decay": 0.8,
        "losses": losses,
        "num_validation_windows": 1,
    }
    small = TrainGanParams(**section.model_dump() | SMALL | changed)
    recipe = recipe_of(small, variant)
    expert = SyncNet(SyncNetConfig(width=0.0625, embedding_dim=16, linear_heads=True))
    clips: list[Any] = [FaceWithSound(0)]
    trainee = GanTrainee(small, recipe, expert, clips, CPU, validation_seed=0)
    batch = mouth_windows(small, recipe)
    of_each = {part: tensor[: 2 * NUM_FACES] for part, tensor in batch.items()}
    with_the_other_sound = {**of_each, "audio": of_each["audio"].roll(NUM_FACES, dims=0)}
    reached = math.inf
    order = np.random.default_rng(1)
    for step in range(PATIENCE * num_steps):
        chosen = torch.from_numpy(order.choice(NUM_WINDOWS, 4, replace=False))
        trainee.step({part: tensor[chosen] for part, tensor in batch.items()}, step)
        if step + 1 >= num_steps and (step + 1) % 10 == 0:
            reached = generated_l1(recipe, trainee.weights(), of_each)
            if reached < GOAL:
                break

    assert reached < GOAL
    assert generated_l1(recipe, trainee.weights(), with_the_other_sound) > MIN_L1_WITHOUT_AUDIO
