"""A frozen network that says how well each moment of a clip's face fits each moment of its sound.

It is frozen so that the data never depend on what is trained from them: an expert of an earlier run, copied out of the
pipeline's outputs by ``python -m pipeline freeze-scorer``, or the published syncnet_v2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.syncnet import SyncNet
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.inference import saved_model
from pipeline.inference.lse_evaluator import Evaluator, load_evaluator
from pipeline.inference.sync_expert import clip_cosines, read_expert
from pipeline.params import SyncFilterParams
from pipeline.shards.clip import Clip


class Scorer(Protocol):
    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of a clip that it reads."""
        ...

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        """float32 [V, A]: larger where face window v fits audio window a better; row v belongs to column v."""
        ...


@dataclass(frozen=True)
class ExpertScorer:
    """A SyncNet trained here, or Wav2Lip's: cosines, in -1..1, behind ReLU in 0..1."""

    network: SyncNet
    device: torch.device
    parts: tuple[str, ...] = ("frames", "mel")

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        return clip_cosines(self.network, clip, self.device)


@dataclass(frozen=True)
class OfficialScorer:
    """syncnet_v2: distances, negated."""

    evaluator: Evaluator
    parts: tuple[str, ...] = ("context", "audio")

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        lip, audio = self.evaluator(clip.context(), clip.audio)
        return -np.asarray(torch.cdist(torch.from_numpy(lip), torch.from_numpy(audio)))


def weights_file(path: Path) -> Path:
    """The file whose digest names a scorer: in a model's folder its weights, else the file itself."""
    return path / saved_model.WEIGHTS_NAME if path.is_dir() else path


def load_scorer(params: SyncFilterParams, root: Path, device: torch.device) -> Scorer:
    """The scorer that ``sync_filter.scorer`` names, checked against its digest.

    Raises UserError naming the setting.
    """
    assert params.scorer is not None
    where = "params.yaml: sync_filter.scorer"
    path = root / params.scorer.expanduser()
    weights = weights_file(path)
    if not weights.is_file():
        raise UserError(
            f"{where}: {weights} does not exist; `python -m pipeline freeze-scorer` makes one from the trained expert, "
            "null keeps every clip as it is"
        )
    if (digest := sha256_of(weights)) != params.scorer_sha256:
        raise UserError(
            f"{where}: {weights} has sha256 {digest}, not {params.scorer_sha256}: it is not the frozen one. Put that "
            "back, or run `python -m pipeline freeze-scorer` again"
        )
    if not path.is_dir():
        return OfficialScorer(load_evaluator(path, path, device))
    try:
        network, _ = read_expert(path)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return ExpertScorer(network.eval().requires_grad_(False).to(device), device)
