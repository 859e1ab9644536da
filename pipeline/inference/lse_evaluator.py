"""The evaluator network of LSE-D and LSE-C: selection of its weights, and inference on arrays.

A judge is an evaluator that is part of the package. docs/judge-1.md describes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from models.lse_syncnet import LseSyncNet
from pipeline.core.choices import JudgeName, LsePrecision
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.inference import saved_model
from pipeline.metrics.lse import embed_clip

OFFICIAL, TRAINED = "official", "trained"
OFFICIAL_WIDTH = 1.0
_JUDGES_DIR = Path(__file__).with_name("judges")


@dataclass(frozen=True)
class Evaluator:
    """The network of LSE-D and LSE-C, with the identity of its weights.

    ``name``: ``official``, ``trained`` or the name of a judge. ``sha256``: digest of the weights file. ``width``:
    channel factor.
    """

    network: LseSyncNet
    device: torch.device
    name: str
    sha256: str
    width: float
    precision: LsePrecision = "fp32"
    """fp32 gives the same scores on every machine. bf16 is faster on hardware that supports it; LSE changes by up to
    0.03."""

    def __call__(
        self, context: NDArray[np.uint8], audio: NDArray[np.int16]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lip embeddings and audio embeddings, float32 [V, 1024] each, V windows.

        ``context``: uint8 [N, P, P, 3] BGR. ``audio``: int16 [n], 16 kHz mono. Raises ClipTooShortError for a clip
        without windows.
        """
        return embed_clip(self.network, context, audio, self.device, autocast=self.precision == "bf16")


def load_evaluator(
    weights: JudgeName | Path | None, trained_dir: Path, device: torch.device, precision: LsePrecision = "fp32"
) -> Evaluator:
    """The evaluator that ``evaluate.lse.weights`` selects: a judge, ``syncnet_v2.model``, or None for a trained one.

    ``trained_dir``: where the stage ``train_evaluator`` writes its model. Raises as the function for the selected kind:
    `load_judge`, `load_official` or `load_trained`.
    """
    if weights is None:
        trained = load_trained(trained_dir, device, precision)
        if any(trained.sha256 == saved_model.model_sha256(judge_dir(name)) for name in get_args(JudgeName)):
            raise UserError(f"{trained_dir} holds a judge; `dvc repro train_evaluator` trains an evaluator")
        return trained
    if isinstance(weights, Path):
        return load_official(weights, device, precision)
    return load_judge(weights, device, precision)


def load_judge(name: JudgeName, device: torch.device, precision: LsePrecision = "fp32") -> Evaluator:
    """A judge, which is part of the package."""
    return _load_saved(name, judge_dir(name), device, precision)


def load_trained(folder: Path, device: torch.device, precision: LsePrecision = "fp32") -> Evaluator:
    """The evaluator in a folder that ``train_evaluator`` wrote.

    Raises UserError if the folder holds no model or another one.
    """
    return _load_saved(TRAINED, folder, device, precision)


def load_official(path: Path, device: torch.device, precision: LsePrecision = "fp32") -> Evaluator:
    """The evaluator with the published weights, the file ``syncnet_v2.model``.

    Raises UserError if the file is missing or does not hold these tensors.
    """
    if not path.is_file():
        raise UserError(
            f"{path} does not exist; `python -m pipeline weights fetch syncnet_v2` downloads the published "
            "file. Set params.yaml: evaluate.lse.weights to its path, to judge-1, or to null to use the evaluator "
            "that the stage train_evaluator trains"
        )
    try:
        network = read_official(path)
    except UserError as error:
        raise UserError(f"{path} (params.yaml: evaluate.lse.weights) is not syncnet_v2: {error}") from None
    return _evaluator(network, device, OFFICIAL, sha256_of(path), OFFICIAL_WIDTH, precision)


def _load_saved(name: str, folder: Path, device: torch.device, precision: LsePrecision) -> Evaluator:
    saved = saved_model.load_model(folder)
    width = float(saved.config["width"])
    network = saved_model.restore(saved, lambda config: LseSyncNet(width), "an evaluator", folder)
    return _evaluator(network, device, name, saved_model.model_sha256(folder), width, precision)


def _evaluator(
    network: LseSyncNet, device: torch.device, name: str, sha256: str, width: float, precision: LsePrecision
) -> Evaluator:
    network = network.eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Evaluator(network, device, name, sha256, width, precision)


def judge_dir(name: JudgeName) -> Path:
    """The folder of a judge: its model, and ``curve.csv``, the curve of its training run."""
    return _JUDGES_DIR / name


def read_official(path: Path) -> LseSyncNet:
    """The network with the weights of ``syncnet_v2.model``.

    Raises UserError if the file holds no tensors or other tensors.
    """
    state = saved_model.read_published(path)
    network = LseSyncNet(OFFICIAL_WIDTH)
    try:
        saved_model.load_tensors(network, state)
    except UserError as error:
        raise UserError(f"it holds tensors that do not fit the evaluator: {error}") from None
    return network
