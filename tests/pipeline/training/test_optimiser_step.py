"""One step of an optimiser: a loss that is not finite, the learning rate."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.training.optimiser_step import clipped_step, learning_rate_factor


def test_a_loss_that_is_not_finite_stops_before_the_weights_change() -> None:
    network = torch.nn.Linear(1, 1)
    before = network.weight.detach().clone()
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    with pytest.raises(FloatingPointError):
        clipped_step(optimiser, network(torch.ones(1, 1)).sum() * math.inf, 1.0, 1.0)
    assert torch.equal(network.weight, before)


def test_learning_rate_warms_up_then_falls() -> None:
    factors = [learning_rate_factor(step, 10, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.05, abs=1e-3)
