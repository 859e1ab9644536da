"""A fused generator computes what it did before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.baselines.lipgan import LipGANConfig, LipGANGenerator
from models.cbam import ChannelGate, ResidualCBAM
from models.generator import Generator, GeneratorConfig
from pipeline.inference.fused import fuse

WINDOWS = 2


def trained(network: nn.Module) -> nn.Module:
    """The network with values in all its parameters and statistics, as after a training."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                    tensor.add_(0.3 * torch.rand_like(tensor))
            if isinstance(module, ChannelGate):
                module.expand.weight.add_(0.3 * torch.randn_like(module.expand.weight))
    return network.eval()


@pytest.mark.parametrize(
    "network",
    [
        lambda: Generator(GeneratorConfig(width=0.125, lstm_hidden=8, cbam_in="both", cbam_reduction=2)),
        lambda: Generator(GeneratorConfig(width=0.125, use_lstm=False, use_cbam=False, predicts="change")),
        lambda: LipGANGenerator(LipGANConfig(width=0.125)),
    ],
)
def test_a_fused_network_gives_the_same_faces(network) -> None:
    torch.manual_seed(0)
    steps = 27 if isinstance(made := trained(network()), LipGANGenerator) else 16
    audio, faces = torch.rand(1, WINDOWS, 1, 80, steps), torch.rand(1, WINDOWS, 6, 96, 96)
    if steps == 27:
        audio, faces = audio.transpose(0, 1), faces.transpose(0, 1)
    with torch.inference_mode():
        before = made(audio, faces)
        fuse(made)
        after = made(audio, faces)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)
    assert before.std() > 0.01
    assert not any(isinstance(module, nn.BatchNorm2d | ResidualCBAM) for module in made.modules())
