"""The training loop: a resumed run is the same run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.checkpoint import CheckpointStore
from pipeline.training.loop import (
    Batch,
    Schedule,
    clipped_step,
    learning_rate_factor,
    merge_rows,
    train,
)

SCHEDULE = Schedule(num_steps=23, validate_every=7, checkpoint_every=5, log_every=4)


class Numbers:
    """Batch n is a function of n, like the real stream's."""

    def __init__(self) -> None:
        self.position = 0
        self.wait_seconds = 0.0

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]

    def __iter__(self) -> Iterator[tuple[Batch, dict[str, Any]]]:
        while True:
            generator = torch.Generator().manual_seed(self.position)
            self.position += 1
            yield {"x": torch.randn(8, 3, generator=generator)}, {"position": self.position}

    def close(self) -> None:
        pass


class Regression:
    """Fits a line; dies at a step when told to."""

    def __init__(self, dies_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.network = torch.nn.Linear(3, 1)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.dies_at = dies_at

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        if step == self.dies_at:
            raise KeyboardInterrupt
        noise = torch.rand(())  # the global generator is part of the state too
        loss = (self.network(batch["x"]).squeeze(1) - batch["x"].sum(dim=1) - noise).square().mean()
        norm = clipped_step(self.optimiser, loss, 1.0, learning_rate_factor(step, 3, 23))
        return {"loss": loss.detach(), "norm": norm}

    def validate(self) -> dict[str, float]:
        return {"bias": self.network.bias.item()}

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


@pytest.mark.parametrize("dies_at", [3, 5, 11, 22])
def test_a_killed_run_continues_the_same_curve(tmp_path: Path, dies_at: int) -> None:
    logged: dict[str, list] = {"whole": [], "parts": []}
    whole = train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path / "whole"), logged["whole"].extend)
    store = CheckpointStore(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(Regression(dies_at), Numbers(), SCHEDULE, store, logged["parts"].extend)
    torch.manual_seed(99)
    parts = train(Regression(), Numbers(), SCHEDULE, store, logged["parts"].extend)
    assert parts.resumed_from_step == dies_at - dies_at % 5
    assert parts.curve == whole.curve
    assert logged["parts"] == logged["whole"]  # every point reaches the tracker exactly once


def test_the_curve_has_one_row_a_step_with_validation_beside_training(tmp_path: Path) -> None:
    report = train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path), lambda rows: None)
    assert [row["step"] for row in report.curve] == [1, 4, 7, 8, 12, 14, 16, 20, 21, 23]
    assert set(report.curve[-1]) == {"step", "loss", "norm", "val_bias"}


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(tmp_path: Path) -> None:
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


def test_merged_rows_are_ordered_by_step() -> None:
    rows = [{"step": 2.0, "a": 1.0}, {"step": 1.0, "a": 0.0}, {"step": 2.0, "val_a": 3.0}]
    assert merge_rows(rows) == [{"step": 1.0, "a": 0.0}, {"step": 2.0, "a": 1.0, "val_a": 3.0}]
