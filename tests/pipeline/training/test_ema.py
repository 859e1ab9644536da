"""The moving average of a network's weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.training.ema import AveragedWeights


def network(value: float) -> nn.Module:
    layers = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        layers[0].weight.fill_(value)
        layers[1].running_mean.fill_(value)
        layers[1].num_batches_tracked.fill_(int(value))
    return layers


def value(averaged: AveragedWeights) -> float:
    return float(averaged.network[0].weight.detach())


def test_the_decay_grows_from_0_to_its_maximum() -> None:
    averaged = AveragedWeights(network(100.0), decay=0.5)
    wanted = 0.0
    for step, new in enumerate([4.0, 8.0, 2.0, 6.0, *[1.0] * 20]):
        averaged.update(network(new))
        kept = min(0.5, step / (step + 9))  # 0, 1/10, 2/11, ... 1/2
        wanted = kept * wanted + (1 - kept) * new
        assert value(averaged) == pytest.approx(wanted, rel=1e-6)
    assert value(averaged) == pytest.approx(1.0, abs=1e-4)


def test_batchnorm_statistics_are_averaged_and_counts_are_copied() -> None:
    averaged = AveragedWeights(network(0.0), decay=0.9)
    averaged.update(network(10.0))
    averaged.update(network(20.0))
    norm = averaged.network[1]
    assert float(norm.running_mean) == pytest.approx(0.1 * 10 + 0.9 * 20)
    assert int(norm.num_batches_tracked) == 20
    assert not averaged.network.training


def test_with_a_decay_of_0_the_average_equals_the_network() -> None:
    averaged = AveragedWeights(network(0.0), decay=0.0)
    for new in (3.0, -7.0):
        averaged.update(network(new))
        assert value(averaged) == new


def test_a_restored_average_continues_identically() -> None:
    one, other = AveragedWeights(network(0.0), 0.9), AveragedWeights(network(5.0), 0.9)
    for new in (1.0, 2.0, 3.0):
        one.update(network(new))
    other.load_state_dict(one.state_dict())
    one.update(network(9.0))
    other.update(network(9.0))
    assert value(one) == value(other)
