"""The weights that a training keeps, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from pipeline.core.choices import Keep


class KeptWeights:
    """The weights to keep, and the number of consecutive validations without improvement."""

    def __init__(self, keep: Keep, patience: int) -> None:
        self._keep, self._patience = keep, patience
        self._best_criterion, self._num_worse = math.inf, 0
        self.step = 0
        self.validation: dict[str, float] = {}
        self.weights: dict[str, torch.Tensor] = {}

    @property
    def is_out_of_patience(self) -> bool:
        return 0 < self._patience <= self._num_worse

    def consider(self, step: int, validation: dict[str, float], weights: Mapping[str, torch.Tensor]) -> None:
        """Store a copy of the weights if they are the best so far, or if the last are kept.

        ``validation``: the scalars of these weights.
        """
        is_sync = "pairwise_accuracy" in validation
        criterion = -validation["pairwise_accuracy"] if is_sync else validation["loss"]  # lower is better
        is_best = criterion < self._best_criterion
        self._num_worse = 0 if is_best else self._num_worse + 1
        self._best_criterion = min(criterion, self._best_criterion)
        if is_best or self._keep == "last":
            self.step, self.validation = step, validation
            self.weights = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_criterion": self._best_criterion,
            "num_worse": self._num_worse,
            "step": self.step,
            "validation": self.validation,
            "weights": self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best_criterion, self._num_worse = state["best_criterion"], state["num_worse"]
        self.step, self.validation, self.weights = state["step"], state["validation"], state["weights"]
