"""What the training loop uses: a network in training, and a source of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch

Batch = Mapping[str, torch.Tensor]


class Trainee(Protocol):
    """A network in training, with its optimiser and validation data."""

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        """Make one optimiser step. Returns scalars by name. ``step`` counts from 0."""

    def validate(self) -> dict[str, float]:
        """Scalars on the fixed validation data, `loss` among them.

        The best weights are those with the highest `pairwise_accuracy`, or with the lowest `loss` if that scalar is
        missing. Near chance level, the loss is lowest for weights whose scores are nearly constant.
        """

    def weights(self) -> dict[str, torch.Tensor]:
        """The state dict of the network that `validate` measures. The stage saves it."""

    def use_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Replace the weights that `validate` measures and the stage saves. Called after training."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class BatchSource(Protocol):
    """Iterable of batches, each with the state of the data stream after it."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def __iter__(self) -> Iterator[tuple[Batch, dict[str, Any]]]: ...

    @property
    def wait_seconds(self) -> float:
        """Total time in seconds that the training has waited for batches."""

    def close(self) -> None: ...
