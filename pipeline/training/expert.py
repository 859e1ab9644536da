"""Training of the SyncNet expert, which the generator's sync loss uses.

The objective ``infonce`` compares windows of the same clip and of other clips. BCE on single pairs, Wav2Lip's
objective (sec. 3.3), stays at chance level for many steps on small data sets. It is available for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.losses import info_nce, sync_loss
from models.parallel import gather_batch, with_shared_statistics
from models.syncnet import SyncNet, SyncNetConfig
from pipeline.inference.device import autocast
from pipeline.inference.sync_expert import clip_cosines
from pipeline.inference.tensors import expert_faces
from pipeline.params import TrainSyncnetParams
from pipeline.shards.clip import Clip
from pipeline.training.sync_trainee import SyncTrainee
from pipeline.training.trainee import Batch


def expert_config(params: TrainSyncnetParams) -> SyncNetConfig:
    """Config of the network for the objective: BCE needs cosines in [0, 1], InfoNCE needs linear heads."""
    linear = params.objective == "infonce"
    return SyncNetConfig(
        width=params.width,
        embedding_dim=params.embedding_dim,
        linear_heads=linear,
        temperature=params.temperature,
        dropout=params.dropout,
    )


class ExpertTrainee(SyncTrainee[SyncNet, TrainSyncnetParams]):
    """A sync expert with its optimiser and fixed validation clips.

    ``validation_seed``: of the pairs of windows that validation compares.
    """

    def __init__(
        self, params: TrainSyncnetParams, validation_clips: Sequence[Clip], device: torch.device, validation_seed: int
    ) -> None:
        network = SyncNet(expert_config(params))
        with_shared_statistics(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        named = dict(network.named_parameters())
        temperature = [named.pop(name) for name in ("log_temperature",) if name in named]
        groups = [
            {"params": list(named.values()), "weight_decay": params.weight_decay},
            {"params": temperature, "weight_decay": 0.0},
        ]
        super().__init__(params, network, groups, validation_clips, device, validation_seed)

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        """One optimiser step. ``faces``: uint8 [B, K, T, 48, 96, 3], ``mel``: float32 [B, K, 80, 16]."""
        self.network.train()
        faces = expert_faces(batch["faces"].flatten(0, 1), self._device)
        mel = batch["mel"].flatten(0, 1).unsqueeze(1).to(self._device)
        with autocast(self._params.precision, self._device):
            face_ND, audio_ND = self.network.embed_faces(faces), self.network.embed_audio(mel)
        cosine_NN = gather_batch(face_ND.float()) @ gather_batch(audio_ND.float()).T
        if self._params.objective == "infonce":
            loss = info_nce(cosine_NN, self.network.temperature)
        else:
            loss = self._bce(cosine_NN, batch["faces"].shape[1])
        rates = self._optimise(loss, step)
        wins = (cosine_NN.detach().diagonal() > cosine_NN.detach().roll(1, dims=1).diagonal()).float().mean()
        return {
            "loss": loss.detach(),
            "pairwise_accuracy": wins,
            "temperature": self.network.temperature.detach(),
            **rates,
        }

    def _bce(self, cosine_NN: torch.Tensor, windows_per_clip: int) -> torch.Tensor:
        """BCE of all pairs in sync, and of as many pairs with the audio of another window of the same clip."""
        true = cosine_NN.diagonal()
        index = torch.arange(len(cosine_NN), device=cosine_NN.device)
        inside = index % windows_per_clip
        wrong = index - inside + (inside + 1) % windows_per_clip
        false = cosine_NN[index, wrong]
        return 0.5 * (sync_loss(true) + sync_loss(false, torch.zeros_like(false)))

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        """Cosines, divided by the temperature, of all face windows and audio windows of a clip: float32 [V, V]."""
        self.network.eval()
        cosines = clip_cosines(self.network, clip, self._device, self._params.precision)
        return cosines / float(self.network.temperature.detach())
