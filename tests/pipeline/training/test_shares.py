"""Several processes that share each batch compute the same as one process.

The comparison is in double precision, so that rounding does not hide errors. It covers all losses that depend on the
whole batch.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import distributed, multiprocessing

from models import lse_syncnet, parallel
from models.syncnet import SyncNet, SyncNetConfig
from pipeline.params import TrainEvaluatorParams, TrainGanParams, TrainSyncnetParams, load_params
from pipeline.training.evaluator import CutEvaluatorWindows, EvaluatorTrainee
from pipeline.training.expert import ExpertTrainee
from pipeline.training.gan import GanTrainee
from pipeline.training.generator_windows import CutGeneratorWindow
from pipeline.training.variants import recipe_of
from pipeline.training.windows import CutSyncWindows, WindowBatches

ROOT = Path(__file__).resolve().parents[3]
NUM_STEPS = 2
CPU = torch.device("cpu")
Rows = list[dict[str, float]]


@contextmanager
def double_precision() -> Iterator[None]:
    """Conversions to float32 in the networks and losses give float64."""
    single, compute_dtype = torch.Tensor.float, lse_syncnet._compute_dtype
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    lse_syncnet._compute_dtype = lambda device_type: torch.float64
    try:
        yield
    finally:
        torch.Tensor.float = single  # type: ignore[method-assign]
        lse_syncnet._compute_dtype = compute_dtype
        torch.set_default_dtype(torch.float32)


def section(name: str, **changes: Any) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text())[name] | {"precision": "fp32", "warmup_steps": 0} | changes


def pictures(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))


def sound(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.uniform(-4, 4, shape))


def expert() -> ExpertTrainee:
    params = TrainSyncnetParams(**section("train_syncnet", width=0.0625, embedding_dim=16, dropout=0.2))
    return ExpertTrainee(params, [], CPU, validation_seed=0)


def expert_batch(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    return {"faces": pictures(rng, 4, 2, 5, 48, 96, 3), "mel": sound(rng, 4, 2, 80, 16)}


def evaluator() -> EvaluatorTrainee:
    return EvaluatorTrainee(
        TrainEvaluatorParams(**section("train_evaluator", width=0.0625)), [], CPU, validation_seed=0
    )


def evaluator_batch(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    return {"context": pictures(rng, 4, 1, 5, 64, 64, 3), "mfcc": sound(rng, 4, 1, 13, 20)}


def generator(variant: str) -> GanTrainee:
    at_once = {"start_step": 0, "ramp_steps": 0}
    losses = ("sync", "adversarial", "perceptual", "feature_matching", "temporal", "mouth")
    params = TrainGanParams(
        **section(
            "train_gan",
            width=0.0625,
            discriminator_width=0.0625,
            audio_start="random",
            num_validation_windows=1,
            losses={name: {"weight": 0.1, **at_once} for name in losses},
        )
    )
    frames = np.zeros((20, 96, 96, 3), np.uint8)
    clip: Any = SimpleNamespace(
        geometry="square", num_frames=20, mel=np.zeros((65, 80), np.float32), crops=lambda index: frames[index]
    )
    network = SyncNet(SyncNetConfig(width=0.0625, embedding_dim=16, linear_heads=True))
    recipe = recipe_of(params, load_params(ROOT / "params.yaml").variants[variant])
    return GanTrainee(params, recipe, network, [clip], CPU, validation_seed=0)


def generator_batch(rng: np.random.Generator, num_columns: int) -> dict[str, torch.Tensor]:
    faces = {name: pictures(rng, 2, 5, 96, 96, 3) for name in ("target", "reference")}
    return {**faces, "audio": sound(rng, 2, 5, 80, num_columns), "sync_mel": sound(rng, 2, 1, 3, 80, 16)}


KINDS: dict[str, tuple[Callable[[], Any], Callable[[np.random.Generator], dict[str, torch.Tensor]]]] = {
    "expert": (expert, expert_batch),
    "evaluator": (evaluator, evaluator_batch),
    "lstm_cbam": (lambda: generator("lstm_cbam"), lambda rng: generator_batch(rng, 16)),
    "lipgan": (lambda: generator("lipgan"), lambda rng: generator_batch(rng, 27)),
}


def train_shares(kind: str) -> tuple[Rows, dict[str, torch.Tensor]]:
    """Train for a few steps. Returns the scalars of each step and the final weights."""
    build, draw = KINDS[kind]
    torch.manual_seed(0)
    trainee = build()
    rows = []
    for step in range(NUM_STEPS):
        batch = draw(np.random.default_rng(step))
        share = {name: tensor.chunk(parallel.num_processes())[parallel.rank()] for name, tensor in batch.items()}
        scalars = trainee.step(share, step)
        rows.append(parallel.mean_scalars({name: float(value) for name, value in scalars.items()}))
    if isinstance(trainee, GanTrainee):  # validation in one process must not wait for the others
        sounds = {name: trainee._validation[name].double() for name in ("audio", "sync_mel")}
        trainee._validation.update(sounds)
        rows.append(parallel.from_first(trainee.validate))
    return rows, {name: tensor.clone() for name, tensor in trainee.weights().items()}


def work(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    with double_precision():
        torch.save({kind: train_shares(kind) for kind in KINDS}, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, tuple[Rows, dict[str, torch.Tensor]]]]:
    """Results of each of two processes, by kind of network."""
    folder = tmp_path_factory.mktemp("shared")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])  # both use one import of torch
    multiprocessing.start_processes(work, (port, str(folder)), nprocs=2, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_two_processes_compute_the_same_as_one(shared: Any, kind: str) -> None:
    with double_precision():
        rows, weights = train_shares(kind)
    (first_rows, first), (second_rows, second) = (process[kind] for process in shared)
    for row, first_row, second_row in zip(rows, first_rows, second_rows, strict=True):
        assert first_row == second_row
        assert first_row == pytest.approx(row, rel=1e-8)
    for name, tensor in weights.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor, rtol=1e-6, atol=1e-8)


CUTS = [CutSyncWindows(2, 5), CutEvaluatorWindows(2, 5), CutGeneratorWindow(6, 3)]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: type(cut).__name__)
@pytest.mark.parametrize("seed", range(5))
def test_a_clip_with_room_is_cut_and_no_image_is_decoded_to_know(cut: Any, seed: int) -> None:
    found = []
    for num_frames in range(4, 24):
        frames = np.zeros((num_frames, 96, 96, 3), np.uint8)

        def clip(take: Callable[..., Any], num_frames: int = num_frames) -> Any:
            mel, audio = np.zeros((num_frames * 16 // 5 + 1, 80), np.float32), np.zeros(num_frames * 640, np.int16)
            rng = np.random.default_rng(seed)
            return SimpleNamespace(num_frames=num_frames, mel=mel, audio=audio, rng=rng, crops=take, context=take)

        def refuse(indices: Any) -> Any:
            pytest.fail("an image was decoded")

        whole = clip(lambda indices, frames=frames: frames[np.asarray(indices)])
        found.append(cut.has_room(clip(refuse)))
        assert found[-1] == (cut(whole, whole.rng) is not None)
    assert set(found) == {True, False}


class Stream:
    """A stream of nine clips, of which every third is too short."""

    num_clips = 9

    def __iter__(self) -> Iterator[Any]:
        for number in range(9):
            yield SimpleNamespace(key=str(number), rng=None, number=number)

    def state_dict(self) -> dict[str, int]:
        return {}


class CutNumber:
    """Cuts the number of a clip."""

    def has_room(self, clip: Any) -> bool:
        return bool(clip.number % 3 != 1)

    def __call__(self, clip: Any, rng: Any) -> Any:
        return {"number": np.array(clip.number)}


def test_the_concatenated_shares_are_the_whole_batch() -> None:
    def numbers(rank: int, world_size: int) -> list[int]:
        stream: Any = Stream()
        batches = WindowBatches(stream, CutNumber(), 4, rank=rank, world_size=world_size)
        batch, _ = next(iter(batches))
        batches.close()
        return batch["number"].tolist()

    assert numbers(0, 1) == [0, 2, 3, 5]
    assert [numbers(rank, 2) for rank in range(2)] == [[0, 2], [3, 5]]
    assert [numbers(rank, 4) for rank in range(4)] == [[0], [2], [3], [5]]
