"""A trained sync expert: read from its folder, and applied to whole clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.syncnet import SyncNet, SyncNetConfig
from pipeline.core.errors import UserError
from pipeline.features import alignment
from pipeline.features.alignment import WINDOW_FRAMES
from pipeline.inference import saved_model
from pipeline.inference.device import autocast
from pipeline.inference.tensors import expert_faces
from pipeline.params import Precision
from pipeline.shards.clip import Clip

EXPERT_KIND = "syncnet"
CHUNK_WINDOWS = 256
"""Windows embedded together: bounds the memory a long clip takes."""


def read_expert(folder: Path) -> tuple[SyncNet, dict[str, Any]]:
    """The network and what its training noted beside it. Raises UserError with the remedy."""
    saved = saved_model.load_model(folder)
    if saved.kind != EXPERT_KIND:
        raise UserError(f"{folder} holds a {saved.kind}, not a sync expert ({EXPERT_KIND})")
    network = saved_model.restore(saved, _build, "a sync expert", folder)
    return network, saved.info


@torch.inference_mode()
def clip_cosines(
    network: SyncNet, clip: Clip, device: torch.device, precision: Precision = "fp32"
) -> NDArray[np.float32]:
    """Cosine of every face window of a clip with every audio window of it: float32 [V, V]. In eval mode only."""
    if network.training:
        raise ValueError("the expert is in training mode: its cosines would depend on the batch")
    crops = clip.crops(np.arange(clip.num_frames))
    lower = torch.from_numpy(crops[:, crops.shape[1] // 2 :])
    windows = lower.unfold(0, WINDOW_FRAMES, 1).movedim(-1, 1)
    starts = range(len(windows))
    mel = torch.from_numpy(np.stack([alignment.sync_mel_window(clip.mel, start) for start in starts]))
    faces_VD, audio_VD = [], []
    for part in (slice(start, start + CHUNK_WINDOWS) for start in range(0, len(windows), CHUNK_WINDOWS)):
        with autocast(precision, device):
            faces_VD.append(network.embed_faces(expert_faces(windows[part], device)))
            audio_VD.append(network.embed_audio(mel[part].unsqueeze(1).to(device)))
    cosines: NDArray[np.float32] = (torch.cat(faces_VD).float() @ torch.cat(audio_VD).float().T).cpu().numpy()
    return cosines


def _build(config: dict[str, Any]) -> SyncNet:
    return SyncNet(saved_model.parse_config(SyncNetConfig, config))
