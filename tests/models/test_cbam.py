from __future__ import annotations

import pytest
import torch

from models.cbam import ChannelGate, ResidualCBAM, SpatialGate


def randomise(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("channels", "expected"), [(16, 248), (64, 680), (128, 2_284), (256, 8_564), (512, 33_412)])
def test_parameter_counts(channels: int, expected: int) -> None:
    assert num_parameters(ResidualCBAM(channels)) == expected
    assert num_parameters(ResidualCBAM(channels, spatial=False)) == expected - 100


@pytest.mark.parametrize(("reduction", "hidden"), [(1, 64), (4, 16), (8, 8), (16, 4), (32, 4), (1000, 4)])
def test_the_reduction_sets_the_hidden_units_down_to_4(reduction: int, hidden: int) -> None:
    gate = ResidualCBAM(64, reduction).channel_gate
    assert num_parameters(gate) == 64 * hidden + hidden + hidden * 64 + 64
    assert gate(torch.rand(2, 64, 3, 3)).shape == (2, 64, 1, 1)


def test_a_reduction_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="reduction of CBAM must be at least 1, got 0"):
        ChannelGate(64, 0)


@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_starts_as_the_identity_bit_for_bit(spatial: bool, training: bool, dtype: torch.dtype) -> None:
    cbam = ResidualCBAM(32, spatial=spatial).train(training).to(dtype)
    x = (torch.randn(3, 32, 6, 7) * 40).to(dtype)
    assert torch.equal(cbam(x), x)


def test_starts_as_the_identity_under_autocast() -> None:
    x = torch.randn(3, 32, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ResidualCBAM(32)(x).float(), x)


def test_every_parameter_learns_from_the_second_step_on() -> None:
    cbam = ResidualCBAM(16)
    optimizer = torch.optim.SGD(cbam.parameters(), 0.1)
    x, weight = torch.rand(4, 16, 8, 8), torch.randn(4, 16, 8, 8)
    for _ in range(2):
        optimizer.zero_grad()
        (cbam(x) * weight).sum().backward()
        optimizer.step()
    for name, parameter in cbam.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gain_stays_in_range() -> None:
    cbam = ResidualCBAM(16)
    randomise(cbam)
    x = torch.rand(4, 16, 8, 8) + 0.1
    gain = cbam(x) / x
    assert gain.min() >= 1 / 1.25 - 1e-6 and gain.max() <= 2 / 1.25 + 1e-6
    assert gain.std() > 0.01


def test_channel_gate_is_one_value_per_channel_and_spatial_gate_one_per_position() -> None:
    channel, spatial = ChannelGate(16), SpatialGate()
    randomise(channel)
    randomise(spatial)
    x = torch.rand(2, 16, 5, 6)
    for gate, shape in ((channel(x), (2, 16, 1, 1)), (spatial(x), (2, 1, 5, 6))):
        assert gate.shape == shape
        assert gate.min() >= 0 and gate.max() <= 1


def test_channel_gate_ignores_where_and_spatial_gate_ignores_which_channel() -> None:
    channel, spatial = ChannelGate(16), SpatialGate()
    randomise(channel)
    randomise(spatial)
    x = torch.rand(2, 16, 5, 6)
    torch.testing.assert_close(channel(x.flip(-1).roll(1, -2)), channel(x))
    torch.testing.assert_close(spatial(x[:, torch.randperm(16)]), spatial(x))
