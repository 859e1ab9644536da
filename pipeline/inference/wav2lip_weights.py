"""Conversion of Wav2Lip's published weights, a generator or a sync expert, to a model folder.

They were trained on face boxes without a margin, stretched to 96x96, so the model has the geometry ``box``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.discriminator import QualityDiscriminator
from models.generator import Generator
from models.released import adapt_released, released_network
from models.syncnet import SyncNet
from pipeline.core.choices import CropGeometry
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.core.model_files import MODEL_NAME
from pipeline.inference import saved_model
from pipeline.inference.generator_kinds import WAV2LIP_RELEASED
from pipeline.inference.sync_expert import EXPERT_KIND

GEOMETRY: CropGeometry = "box"


def convert_wav2lip(path: Path, folder: Path) -> str:
    """Convert the published generator or expert in ``path`` to a model in ``folder``. Returns the model's kind.

    Raises UserError if ``folder`` already holds a model, or if ``path`` holds neither network.
    """
    if (folder / MODEL_NAME).exists():
        raise UserError(f"{folder} already holds a model; choose another --out, or remove that folder")
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(
            f"{path} {fault}; give a file of Wav2Lip's authors such as wav2lip_gan.pth. lipsmith does not download "
            "them: docs/evaluation.md says where they are"
        )
    try:
        network = _network_in(_read(path))
    except UserError as error:
        raise UserError(f"{path} cannot be adopted: {error}") from None
    kind = WAV2LIP_RELEASED.name if isinstance(network, Generator) else EXPERT_KIND
    saved_model.save_model(
        folder,
        kind=kind,
        config=saved_model.config_to_save(network.config),
        state=network.state_dict(),
        info={"file": path.name, "file_sha256": sha256_of(path), "crop": GEOMETRY},
    )
    return kind


def _network_in(released: Mapping[str, Any]) -> Generator | SyncNet:
    """The generator or expert with the published weights. Raises UserError for anything else."""
    try:
        network = released_network(released)
        state = None if isinstance(network, QualityDiscriminator) else adapt_released(released, network)
    except ValueError as error:  # raised by `models` for unknown weights
        raise UserError(str(error)) from None
    if isinstance(network, QualityDiscriminator) or state is None:
        raise UserError(
            "it is Wav2Lip's quality discriminator, which only training needs; the generator is another file "
            "(wav2lip_gan.pth)"
        )
    network.load_state_dict(state)
    return network


def _read(path: Path) -> Mapping[str, Any]:
    """The content of a file that ``torch.save`` or TorchScript wrote. Raises UserError.

    The authors now publish TorchScript archives (Rudrabha/Wav2Lip issue 743). Only the tensors of an archive are used.
    """
    if not _is_script(path):
        return saved_model.read_published(path)
    try:
        state: Mapping[str, Any] = torch.jit.load(str(path), map_location="cpu").state_dict()
    except RuntimeError:
        raise UserError("it is a damaged TorchScript archive") from None
    return state


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:  # the format of torch before 1.6
        return False
