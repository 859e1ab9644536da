"""The same results on a GPU as on a CPU. These tests need torch, numpy and pytest only, see `benchmarks/gpu.sh`."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.gpu_networks import Inputs, build, make_sensitive, relative_error
from models.baselines.lipgan import LipGANConfig, LipGANGenerator
from models.generator import Generator, GeneratorConfig
from models.inception import InceptionFeatures
from models.lse_syncnet import LseSyncNet
from pipeline.metrics.exact import full_float32
from pipeline.metrics.fid import inception_features
from pipeline.metrics.lse import embed_clip

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_inception_features() -> None:
    network = InceptionFeatures().eval()
    images = np.random.default_rng(9).integers(0, 256, (4, 96, 96, 3), dtype=np.uint8)
    expected = inception_features(images, network)
    got = inception_features(images, network.cuda())
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max() + 1e-6


def test_embeddings_of_the_evaluator() -> None:
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (20, 40, 40, 3), dtype=np.uint8)
    audio = random.integers(-9000, 9000, 20 * 640).astype(np.int16)
    network = LseSyncNet(width=0.125).eval()
    expected = embed_clip(network, frames, audio, CPU)
    got = embed_clip(network.cuda(), frames, audio, torch.device("cuda"))
    for one, other in zip(expected, got, strict=True):
        assert np.abs(one - other).max() < 1e-2 * np.abs(one).max()


GENERATORS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "lstm over mel": (lambda: Generator(GeneratorConfig(width=0.25)), 16),
    "lstm over context": (lambda: Generator(GeneratorConfig(width=0.25, lstm_over="context_both")), 96),
    "lstm over frames": (lambda: Generator(GeneratorConfig(width=0.25, lstm_over="frames", predicts="change")), 16),
    "long window, CBAM in all parts": (
        lambda: Generator(GeneratorConfig(width=0.25, mel_steps=27, cbam_in="both", cbam_reduction=4)),
        27,
    ),
    "lipgan": (lambda: LipGANGenerator(LipGANConfig(width=0.25)), 27),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_faces(name: str) -> None:
    build_generator, num_steps = GENERATORS[name]
    require_equal_outputs(build_generator(), (torch.randn(4, 3, 1, 80, num_steps), torch.rand(4, 3, 6, 96, 96)))


def test_embeddings_of_the_expert() -> None:
    require_equal_outputs(*build("syncnet", width=0.25, clips=8))


@torch.no_grad()
def require_equal_outputs(network: nn.Module, inputs: Inputs) -> None:
    """Compare a GPU with a CPU in float32: to rounding. On a CPU, float32 differs from float64 by 1e-5.

    Then with bfloat16 autocast and channels-last memory: within 0.25. On a CPU, they differ from float32 by 0.02 to
    0.15.
    """
    make_sensitive(network, inputs)
    expected = network(*inputs)
    on_gpu = copy.deepcopy(network).cuda()
    audio, faces = (each.cuda() for each in inputs)
    with full_float32():
        assert relative_error(on_gpu(audio, faces).cpu(), expected) < 1e-3
    on_gpu.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cuda", torch.bfloat16):
        assert relative_error(on_gpu(audio, faces).float().cpu(), expected) < 0.25
