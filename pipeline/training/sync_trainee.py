"""What the training of the two sync networks, the expert and the evaluator, has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.params import TrainEvaluatorParams, TrainSyncnetParams
from pipeline.shards.clip import Clip
from pipeline.training.optimiser_step import clipped_step, learning_rate_factor
from pipeline.training.sync_validation import SyncValidation
from pipeline.training.trainee import Batch

ADAMW_BETAS = (0.9, 0.98)
SyncNetwork = TypeVar("SyncNetwork", bound=torch.nn.Module)
SyncParams = TypeVar("SyncParams", TrainSyncnetParams, TrainEvaluatorParams)


class SyncTrainee(ABC, Generic[SyncNetwork, SyncParams]):
    """A sync network with its optimiser and fixed validation clips.

    ``network``: on ``device``. ``groups``: its parameter groups with their weight decay, in AdamW's form.
    ``validation_seed``: of the pairs of windows that validation compares.
    """

    def __init__(
        self,
        params: SyncParams,
        network: SyncNetwork,
        groups: list[dict[str, Any]],
        validation_clips: Sequence[Clip],
        device: torch.device,
        validation_seed: int,
    ) -> None:
        self._params: SyncParams = params
        self._clips, self._device = validation_clips, device
        self.network = network
        self._optimiser = torch.optim.AdamW(groups, lr=params.learning_rate, betas=ADAMW_BETAS)
        self._validation = SyncValidation(params.num_validation_pairs, params.min_gap_frames, validation_seed)

    @abstractmethod
    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        """One optimiser step. Returns scalars by name. ``step`` counts from 0."""

    @abstractmethod
    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        """Similarities of face windows (rows) and audio windows (columns): float32 [V, A]. Larger is more in sync."""

    def _optimise(self, loss: torch.Tensor, step: int) -> dict[str, float]:
        """The optimiser's part of a step. Returns its scalars: ``grad_norm`` before clipping and ``learning_rate``."""
        factor = learning_rate_factor(step, self._params.warmup_steps, self._params.num_steps)
        norm = clipped_step(self._optimiser, loss, self._params.grad_clip, factor)
        return {"grad_norm": norm, "learning_rate": self._params.learning_rate * factor}

    def validate(self) -> dict[str, float]:
        return self._validation.scores([self.similarity(clip) for clip in self._clips])

    def weights(self) -> dict[str, torch.Tensor]:
        return self.network.state_dict()

    def use_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.network.load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
