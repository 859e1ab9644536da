"""Training of the network behind LSE-D and LSE-C where the official weights are not given.

It shares nothing with the expert: other network (Chung and Zisserman, "Out of time"), other input (wide 224 px crops,
MFCC), other objective (distances instead of cosines), other seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.losses import distance_softmax_loss, pairwise_distances
from models.lse_syncnet import LseSyncNet
from pipeline.metrics.lse import embed_clip
from pipeline.params import TrainEvaluatorParams
from pipeline.shards.read import Clip
from pipeline.training.loop import Batch, clipped_step, learning_rate_factor
from pipeline.training.precision import autocast
from pipeline.training.sync_validation import SyncValidation
from pipeline.training.tensors import evaluator_frames


class EvaluatorTrainee:
    """One evaluator with its optimiser and fixed validation clips."""

    def __init__(
        self, params: TrainEvaluatorParams, validation_clips: Sequence[Clip], device: torch.device, seed: int
    ) -> None:
        self._params, self._clips, self._device = params, validation_clips, device
        self.network = LseSyncNet(params.width).to(device)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=params.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=params.weight_decay,
        )
        self._validation = SyncValidation(params.num_validation_pairs, params.min_gap_frames, seed)

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        """``context: uint8 [B, K, T, H, W, 3]``, ``mfcc: float32 [B, K, 13, 20]``."""
        self.network.train()
        frames = evaluator_frames(batch["context"].flatten(0, 1), self._device)
        mfcc = batch["mfcc"].flatten(0, 1).unsqueeze(1).to(self._device)
        with autocast(self._params.precision, self._device):
            lip_ND = self.network.embed_lips(frames)[:, 0].float()
            audio_ND = self.network.embed_audio(mfcc).float()
        loss = distance_softmax_loss(pairwise_distances(lip_ND, audio_ND))
        factor = learning_rate_factor(step, self._params.warmup_steps, self._params.num_steps)
        norm = clipped_step(self._optimiser, loss, self._params.grad_clip, factor)
        with torch.no_grad():
            true = (lip_ND - audio_ND).norm(dim=1)
            wrong = (lip_ND - audio_ND.roll(1, dims=0)).norm(dim=1)
        return {
            "loss": loss.detach(),
            "pairwise_accuracy": (true < wrong).float().mean(),
            "distance_in_sync": true.mean(),
            "distance_out_of_sync": wrong.mean(),
            "grad_norm": norm,
            "learning_rate": self._params.learning_rate * factor,
        }

    def validate(self) -> dict[str, float]:
        return self._validation.scores([self.similarity(clip) for clip in self._clips])

    @torch.inference_mode()
    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        """Negative distance of every lip window to every audio window of a clip: float32 [V, V]."""
        self.network.eval()
        context = clip.context(np.arange(clip.num_frames))
        lip, audio = embed_clip(self.network, context, clip.audio, self._device, self._params.precision)
        return -np.linalg.norm(lip[:, None] - audio[None], axis=2).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
