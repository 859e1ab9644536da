"""The expert's training step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.params import load_params
from pipeline.training.expert import ExpertTrainee


def test_weight_decay_applies_to_weights_and_not_to_the_temperature(repo_root: Path) -> None:
    """AdamW reduces a weight whose gradient is 0 by the learning rate times the weight decay."""
    params = load_params(repo_root / "params.yaml").train_syncnet
    params = params.model_copy(update={"width": 0.0625, "weight_decay": 0.5, "learning_rate": 0.1})
    trainee = ExpertTrainee(params, [], torch.device("cpu"), validation_seed=0)
    weight, temperature = next(trainee.network.face_encoder.parameters()), trainee.network.log_temperature
    assert temperature is not None
    before = float(weight.detach().flatten()[0]), float(temperature.detach())
    for parameter in trainee.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trainee._optimiser.step()
    assert (float(weight.detach().flatten()[0]), float(temperature.detach())) == pytest.approx(
        (before[0] * (1 - 0.1 * 0.5), before[1])
    )
