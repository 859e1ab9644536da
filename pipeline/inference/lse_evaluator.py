"""The networks that judge: which weights, and as functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
from numpy.typing import NDArray

from models.lse_syncnet import LseSyncNet
from pipeline.core.choices import LsePrecision
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.inference import saved_model
from pipeline.metrics.lse import embed_clip

OFFICIAL, TRAINED = "official", "trained"
OFFICIAL_WIDTH = 1.0
_MAX_LETTERS = 300
"""Of what torch says about tensors that do not fit: it lists all of them."""


@dataclass(frozen=True)
class Evaluator:
    """The network behind LSE-D and LSE-C, and which one it is."""

    network: LseSyncNet
    device: torch.device
    name: str
    sha256: str
    width: float
    precision: LsePrecision = "fp32"
    """fp32 gives the same scores on every machine; bf16 is faster where the processor has it, and close."""

    def __call__(
        self, context: NDArray[np.uint8], audio: NDArray[np.int16]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Context frames uint8 [N, P, P, 3] BGR and 16 kHz audio -> lip, audio embeddings float32 [V, 1024] each."""
        return embed_clip(self.network, context, audio, self.device, autocast=self.precision == "bf16")


def load_evaluator(
    weights: Path | None, trained_dir: Path, device: torch.device, precision: LsePrecision = "fp32"
) -> Evaluator:
    """The official syncnet_v2 weights where ``weights`` names them, else the network trained here.

    Raises UserError for a file that does not hold syncnet_v2's tensors.
    """
    if weights is None:
        saved = saved_model.load_model(trained_dir)
        name, sha256, width = TRAINED, saved_model.model_sha256(trained_dir), float(saved.config["width"])
        network = saved_model.restore(saved, lambda config: LseSyncNet(width), "an evaluator", trained_dir)
    else:
        if not weights.is_file():
            raise UserError(
                f"{weights} does not exist; `python -m pipeline weights fetch syncnet_v2` fetches the published file. "
                "params.yaml: evaluate.lse.weights must name it, or be null to use the evaluator trained here"
            )
        try:
            network = read_official(weights)
        except UserError as error:
            raise UserError(f"{weights} (params.yaml: evaluate.lse.weights) is not syncnet_v2: {error}") from None
        name, sha256, width = OFFICIAL, sha256_of(weights), OFFICIAL_WIDTH
    network = network.eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Evaluator(network, device, name, sha256, width, precision)


def read_official(path: Path) -> LseSyncNet:
    """The network of ``syncnet_v2.model``.

    Raises UserError that says what the file is instead.
    """
    state = saved_model.read_published(path)
    network = LseSyncNet(OFFICIAL_WIDTH)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"it does not fit the evaluator: {shorten(str(error), _MAX_LETTERS)}") from None
    return network
