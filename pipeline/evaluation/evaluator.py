"""The networks that judge: which weights, and as functions of arrays."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.lse_syncnet import LseSyncNet
from pipeline import checkpoint
from pipeline.digest import sha256_of
from pipeline.metrics.lse import embed_clip

OFFICIAL, TRAINED = "official", "trained"


@dataclass(frozen=True)
class Evaluator:
    """The network behind LSE-D and LSE-C, and which one it is. Runs in float32, alike on every machine."""

    network: LseSyncNet
    device: torch.device
    name: str
    sha256: str
    width: float

    def __call__(
        self, context: NDArray[np.uint8], audio: NDArray[np.int16]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Context frames uint8 [N, P, P, 3] BGR and 16 kHz audio -> lip, audio embeddings float32 [V, 1024] each."""
        return embed_clip(self.network, context, audio, self.device)


def load_evaluator(weights: Path | None, trained_dir: Path, device: torch.device) -> Evaluator:
    """The official syncnet_v2 weights where ``weights`` names them, else the network trained here.

    Raises FileNotFoundError, or ValueError for a file that does not hold syncnet_v2's tensors.
    """
    if weights is None:
        saved = checkpoint.load_model(trained_dir)
        name, sha256, width = TRAINED, checkpoint.model_sha256(trained_dir), float(saved.config["width"])
        network, state = LseSyncNet(width), saved.state
    else:
        name, width = OFFICIAL, 1.0
        network, state, sha256 = LseSyncNet(width), *_read_official(weights)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        where = "params.yaml: evaluate.lse.weights" if weights else str(trained_dir)
        raise ValueError(f"{where} does not fit the evaluator: {error}") from None
    network = network.eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Evaluator(network, device, name, sha256, width)


def _read_official(path: Path) -> tuple[dict[str, Any], str]:
    """State dict and digest of ``syncnet_v2.model``; nothing but tensors is unpickled."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; params.yaml: evaluate.lse.weights must name syncnet_v2.model, or be null to use "
            "the evaluator trained here"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} (params.yaml: evaluate.lse.weights) is no file of tensors: {error}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} (params.yaml: evaluate.lse.weights) holds {type(state).__name__}, not a state dict")
    return state, sha256_of(path)
