"""Frozen network that scores the similarity of each face window and each audio window of a clip.

A frozen network keeps the data independent of the models trained on them. It is an expert of an earlier run, which
``python -m pipeline freeze-scorer`` copied out of the pipeline's outputs, or the published syncnet_v2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.syncnet import SyncNet
from pipeline.core.choices import UNNAMED_GEOMETRY, CropGeometry
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.core.model_files import WEIGHTS_NAME
from pipeline.inference.lse_evaluator import Evaluator, load_official
from pipeline.inference.sync_expert import clip_cosines, read_expert
from pipeline.metrics.lse import negative_distances
from pipeline.params import SyncFilterParams
from pipeline.shards.clip import Clip, picture_part


class Scorer(Protocol):
    """A network that compares face windows with audio windows."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of a stored clip that ``similarity`` reads."""
        ...

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        """Similarities of face windows (rows) and audio windows (columns): float32 [V, A].

        A larger value means a better match. Row v and column v start at the same frame.
        """
        ...


@dataclass(frozen=True)
class ExpertScorer:
    """A SyncNet trained here, or Wav2Lip's. Similarities are cosines: in -1..1, or 0..1 for heads that end in ReLU.

    ``geometry``: that of the crops it was trained on. Clips of another one are cut again.
    """

    network: SyncNet
    device: torch.device
    geometry: CropGeometry = UNNAMED_GEOMETRY
    parts: tuple[str, ...] = ("frames", "mel")

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        return clip_cosines(self.network, clip.recut(self.geometry), self.device)


@dataclass(frozen=True)
class OfficialScorer:
    """syncnet_v2. Similarities are negative distances."""

    evaluator: Evaluator
    parts: tuple[str, ...] = ("context", "audio")

    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        return negative_distances(*self.evaluator(clip.context(), clip.audio))


def weights_file(path: Path) -> Path:
    """The file whose digest identifies a scorer: the weights if ``path`` is a model's folder, else ``path`` itself."""
    return path / WEIGHTS_NAME if path.is_dir() else path


def load_scorer(params: SyncFilterParams, root: Path, device: torch.device, stored: CropGeometry) -> Scorer:
    """The scorer that ``sync_filter.scorer`` selects, for clips with crops of the geometry ``stored``.

    Raises UserError if it is missing, does not match ``sync_filter.scorer_sha256``, or is not a sync expert.
    """
    assert params.scorer is not None
    where = "params.yaml: sync_filter.scorer"
    path = Layout(root).find(params.scorer)
    weights = weights_file(path)
    if not weights.is_file():
        raise UserError(
            f"{where}: {weights} does not exist; run `python -m pipeline freeze-scorer` to freeze the trained expert, "
            "or set it to null to keep every clip unchanged"
        )
    if (digest := sha256_of(weights)) != params.scorer_sha256:
        raise UserError(
            f"{where}: {weights} has sha256 {digest}, not {params.scorer_sha256} (sync_filter.scorer_sha256): it has "
            "changed since it was frozen. Restore it, or run `python -m pipeline freeze-scorer` again"
        )
    if not path.is_dir():
        return OfficialScorer(load_official(path, device))
    try:
        expert = read_expert(path)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    network = expert.network.eval().requires_grad_(False).to(device)
    return ExpertScorer(network, device, expert.geometry, (picture_part(stored, expert.geometry), "mel"))
