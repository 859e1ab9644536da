"""Exponential moving average of a network's weights. It varies less than the weights of single steps."""

from __future__ import annotations

import copy

import torch
from torch import nn


class AveragedWeights:
    """Exponential moving average of parameters and of BatchNorm's statistics.

    The decay of update n = 0, 1, ... is min(decay, n / (n + 9)), similar to TensorFlow's `num_updates`. The initial
    weights therefore have no influence, and a short training is averaged over few steps. With a decay of 0 the average
    equals the network's weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        """Copy of the network with the averaged weights, in eval mode."""
        self._decay, self._num_updates = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Update the average with the network's weights. Call it after each step."""
        kept = min(self._decay, self._num_updates / (self._num_updates + 9))
        self._num_updates += 1
        averaged, new = self.network.state_dict(), network.state_dict()
        floats = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averaged[name] for name in floats], [new[name] for name in floats], 1 - kept)
        for name in averaged.keys() - set(floats):
            averaged[name].copy_(new[name])

    def state_dict(self) -> dict[str, object]:
        return {"network": self.network.state_dict(), "num_updates": self._num_updates}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        self._num_updates = state["num_updates"]  # type: ignore[assignment]
