"""The same results on a GPU as on a CPU. These tests need torch, numpy and pytest only, see `benchmarks/gpu.sh`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.baselines.lipgan import LipGANConfig, LipGANGenerator
from models.generator import Generator, GeneratorConfig
from models.inception import InceptionFeatures
from models.lse_syncnet import LseSyncNet
from models.syncnet import SyncNet, SyncNetConfig
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
    "lipgan": (lambda: LipGANGenerator(LipGANConfig(width=0.25)), 27),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_faces(name: str) -> None:
    build, num_steps = GENERATORS[name]
    network = build()
    with torch.no_grad():
        for parameter in network.parameters():  # several layers are initialised to zero
            parameter.add_(torch.randn_like(parameter) * 0.02)
    require_equal_outputs(network, torch.randn(2, 3, 1, 80, num_steps), torch.rand(2, 3, 6, 96, 96))


def test_embeddings_of_the_expert() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = SyncNet(SyncNetConfig(width=0.25, linear_heads=True))

        def forward(self, mel: torch.Tensor, lower: torch.Tensor) -> Any:
            return torch.cat((self.network.embed_audio(mel), self.network.embed_faces(lower)))

    require_equal_outputs(Both(), torch.randn(4, 1, 80, 16), torch.rand(4, 15, 48, 96))


@torch.no_grad()
def require_equal_outputs(network: nn.Module, audio: torch.Tensor, faces: torch.Tensor) -> None:
    """In float32 to rounding; with bfloat16 autocast and channels-last memory, on average within 2 %."""
    network.eval()
    expected = network(audio, faces)
    on_gpu = copy.deepcopy(network).cuda()
    with full_float32():
        torch.testing.assert_close(on_gpu(audio.cuda(), faces.cuda()).cpu(), expected, rtol=1e-3, atol=1e-4)
    on_gpu.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cuda", torch.bfloat16):
        rounded = on_gpu(audio.cuda(), faces.cuda()).float().cpu()
    assert (rounded - expected).abs().mean() < 0.02
