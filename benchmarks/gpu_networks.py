"""The networks that `benchmarks/gpu_speed.py` and `tests/gpu` run on a GPU, with random inputs."""

from __future__ import annotations

import math

import torch
from torch import nn

from models.baselines.lipgan import LipGANConfig, LipGANGenerator
from models.generator import Generator, GeneratorConfig
from models.syncnet import FACE_CHANNELS, SyncNet, SyncNetConfig

NETWORKS = ("syncnet", "lstm_cbam", "lipgan")
FRAMES = 5
Inputs = tuple[torch.Tensor, torch.Tensor]
"""Audio and faces."""


class SyncPair(nn.Module):
    """SyncNet as one module: mel [B, 1, 80, 16], lower halves [B, 15, 48, 96] -> embeddings of both [2, B, D]."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.network = SyncNet(SyncNetConfig(width=width, linear_heads=True))

    def forward(self, mel: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
        return torch.stack((self.network.embed_audio(mel), self.network.embed_faces(lower)))


def build(network: str, width: float, clips: int) -> tuple[nn.Module, Inputs]:
    """An untrained network and random inputs, equal in each call. ``network``: one of ``NETWORKS``."""
    torch.manual_seed(0)
    if network == "syncnet":
        return SyncPair(width), (torch.randn(clips, 1, 80, 16), torch.rand(clips, FACE_CHANNELS, 48, 96))
    steps = 27 if network == "lipgan" else 16
    inputs = torch.randn(clips, FRAMES, 1, 80, steps), torch.rand(clips, FRAMES, 6, 96, 96)
    if network == "lipgan":
        return LipGANGenerator(LipGANConfig(width=width)), inputs
    return Generator(GeneratorConfig(width=width)), inputs


@torch.no_grad()
def make_sensitive(network: nn.Module, inputs: Inputs) -> None:
    """Change an untrained network so that its outputs depend on all its layers, and set it to eval mode.

    Untrained, the LSTM's projection is zero, each CBAM is the identity, and without the statistics of BatchNorm the
    audio does not reach the output. Here zeros become random numbers, and the statistics are those of ``inputs``.
    """
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # the mean over all batches, of which there is one
    network.train()
    network(*inputs)
    network.eval()


def relative_error(outputs: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference, divided by that of the deviation of ``expected`` from its mean. 1: nothing in common."""
    error = (outputs - expected).norm() / (expected - expected.mean()).norm()
    return float(error) if torch.isfinite(error) else math.inf
