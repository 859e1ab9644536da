"""The files of registered versions in MLflow's artifact store: models, lists of training clips, scores by video."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.model_files import MODEL_NAME
from pipeline.core.redact import redacted
from pipeline.params import Params
from pipeline.promote.package import GENERATOR_FOLDER, packaged

_PACKAGES = {"google": "google-cloud-storage", "azure": "azure-storage-blob"}
"""Module -> package that provides it, where the names differ."""


class RegistryError(UserError):
    """The MLflow store cannot be used, or lacks the requested version, alias or files."""


def model_folder(sha256: str) -> str:
    """The folder of a packaged model among the artifacts of its run. ``sha256``: digest of the weights."""
    return f"generator/{sha256[:12]}"


def clip_list_name(sha256: str) -> str:
    """The file with the ids of the clips that a model was trained on."""
    return f"trained_on/{sha256[:12]}.txt"


def clip_scores_name(sha256: str, evaluation_digest: str) -> str:
    """The file with a model's LSE-D by video under one evaluation."""
    return f"clip_scores/{sha256[:12]}-{evaluation_digest[:12]}.json"


def upload_model(root: str, folder: Path, sha256: str, trained_on: Collection[str], params: Params) -> None:
    """Upload the packaged model and its clip list to ``root``. The run at that address may have been deleted."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with _naming_the_package(root), tempfile.TemporaryDirectory(prefix="lipsmith-") as temporary:
        repository = get_artifact_repository(root)
        if trained_on:
            clip_list = Path(temporary, clip_list_name(sha256))
            clip_list.parent.mkdir()
            clip_list.write_text("".join(f"{name}\n" for name in sorted(trained_on)))
            repository.log_artifacts(temporary)
        with packaged(folder, params) as package:
            repository.log_artifacts(str(package), model_folder(sha256))


def upload_text(root: str, name: str, text: str) -> None:
    """Upload a text file to ``name`` below ``root``."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with _naming_the_package(root), tempfile.TemporaryDirectory(prefix="lipsmith-") as temporary:
        path = Path(temporary, name)
        path.parent.mkdir()
        path.write_text(text)
        get_artifact_repository(root).log_artifacts(temporary)


def read_text(root: str, name: str) -> str | None:
    """The text file ``name`` below ``root``; None if it does not exist.

    Raises RegistryError if the store cannot be read, or the package that reads it is not installed.
    """
    from mlflow.artifacts import load_text
    from mlflow.exceptions import MlflowException

    folder, _, leaf = name.rpartition("/")
    try:
        with _naming_the_package(root):
            text: str | None = load_text(f"{root}/{name}") if leaf in names_at(f"{root}/{folder}") else None
    except (MlflowException, OSError) as error:
        raise RegistryError(f"{name} cannot be read from {redacted(root)}: {redacted(_last_line(error))}") from error
    return text


@contextmanager
def downloaded_generator(source: str, version: str) -> Iterator[Path | None]:
    """Yield a temporary folder with the generator of the version at ``source``; None if the store has no files of it.

    Raises RegistryError, which names the version, if the files cannot be read.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="lipsmith-") as folder:
        try:
            with _naming_the_package(source):
                address = generator_at(source)
                found = Path(download_artifacts(address, dst_path=folder)) if names_at(address) else None
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"the files of {version} cannot be read from {redacted(source)}: {redacted(_last_line(error))}"
            ) from error
        yield found


def read_description(source: str) -> dict[str, Any] | None:
    """The content of ``model.json`` of the version at ``source``; None if it cannot be read.

    Raises RegistryError if the package that reads the artifact store is not installed.
    """
    from mlflow.exceptions import MlflowException

    try:
        text = read_text(generator_at(source), MODEL_NAME)
    except (MlflowException, OSError):
        return None
    described: dict[str, Any] | None = None if text is None else json.loads(text)
    return described


def names_at(address: str) -> set[str]:
    """Names of the files in a folder of an artifact store; empty if the folder does not exist."""
    from mlflow.artifacts import list_artifacts

    with _naming_the_package(address):
        return {Path(found.path).name for found in list_artifacts(artifact_uri=address)}


def generator_at(source: str) -> str:
    """Address of the generator's files in a version. In versions of earlier releases no package surrounds them."""
    return f"{source}/{GENERATOR_FOLDER}" if "MLmodel" in names_at(source) else source


@contextmanager
def _naming_the_package(address: str) -> Iterator[None]:
    """Raise RegistryError that names the package if the client of an artifact store is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        package = _PACKAGES.get(module, module)
        raise RegistryError(
            f"files at {redacted(address)} need the package {package}; install it: "
            f"`.venv/bin/python -m pip install {package}`"
        ) from error


def _last_line(error: Exception) -> str:
    """The last line of an error of MLflow. It describes the file; the first line only states that a download failed."""
    return str(error).strip().rsplit("\n", 1)[-1]
