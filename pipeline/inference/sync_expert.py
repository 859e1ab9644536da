"""Inference with a trained sync expert: loads the model, and scores whole clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.choices import WINDOW_FRAMES
from models.syncnet import SyncNet, SyncNetConfig
from pipeline.core.choices import CropGeometry, Precision
from pipeline.core.errors import UserError
from pipeline.features import alignment
from pipeline.inference import saved_model
from pipeline.inference.device import autocast
from pipeline.inference.tensors import expert_crops, expert_faces

if TYPE_CHECKING:  # importing it imports OpenCV
    from pipeline.shards.clip import Clip

EXPERT_KIND = "syncnet"
CHUNK_WINDOWS = 256
"""Number of windows per forward pass. It limits the memory for long clips."""


@dataclass(frozen=True)
class SyncExpert:
    """A saved sync expert. ``geometry``: that of the crops it was trained on. ``info``: provenance of its weights."""

    network: SyncNet
    geometry: CropGeometry
    info: Mapping[str, Any]


def read_expert(folder: Path) -> SyncExpert:
    """The expert in a folder written by ``save_model``. Raises UserError if the folder holds no valid sync expert."""
    saved = saved_model.load_model(folder)
    if saved.kind != EXPERT_KIND:
        raise UserError(f"{folder} holds a model of kind {saved.kind!r}, not a sync expert ({EXPERT_KIND!r})")
    network = saved_model.restore(saved, _build, "a sync expert", folder)
    return SyncExpert(network, saved_model.geometry_of(saved, folder), saved.info)


@torch.inference_mode()
def clip_cosines(
    network: SyncNet, clip: Clip, device: torch.device, precision: Precision = "fp32"
) -> NDArray[np.float32]:
    """Cosines between all face windows (rows) and all audio windows (columns) of a clip: float32 [V, V].

    The clip must have the crop geometry of the network's training; crops of another size than 96 px are resized.
    Raises ValueError if the network is in training mode.
    """
    if network.training:
        raise ValueError("the expert is in training mode, in which its cosines depend on the batch; call eval() first")
    crops = expert_crops(clip.crops(np.arange(clip.num_frames)))
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
