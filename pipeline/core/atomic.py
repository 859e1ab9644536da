"""Atomic writes: a file has its old content or its new content, never a part."""

from __future__ import annotations

import atexit
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from pipeline.core.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``. On success it replaces ``path``; on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path.absolute())
    with _removed_at_exit(temporary):
        yield temporary
        temporary.replace(path)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside ``path``. On success it replaces ``path``; on failure it is removed.

    ``path`` must be an empty folder or not exist.
    """
    temporary = _temporary(path.absolute())
    shutil.rmtree(temporary, ignore_errors=True)  # a killed process may have had the same number
    with _removed_at_exit(temporary):
        temporary.mkdir(parents=True)
        yield temporary
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)


_unfinished: set[tuple[int, Path]] = set()
"""Temporary files and folders that exist now, with the process that made them: a fork inherits the set."""


@contextmanager
def _removed_at_exit(temporary: Path) -> Iterator[None]:
    """Remove a file or folder at the end of the block, or at the exit of the process if the block does not end.

    The block does not end if a signal's SystemExit is raised in a function that FFmpeg calls through PyAV: there it
    ends the process at once.
    """
    entry = os.getpid(), temporary
    _unfinished.add(entry)
    try:
        yield
    finally:
        _remove(temporary)
        _unfinished.discard(entry)


@atexit.register
def _remove_unfinished() -> None:
    for process, temporary in list(_unfinished):
        if process == os.getpid():
            _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def require_writable(path: Path, flag: str) -> None:
    """Raises UserError if ``replacing(path)`` cannot write. ``flag``: the option that named the path."""
    if path.is_dir():
        raise UserError(f"{flag} {path} is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _temporary(path).touch()
        _temporary(path).unlink()
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be written: {error.filename}: {error.strerror}") from None


def require_not_input(path: Path, flag: str, inputs: Iterable[tuple[str, Path]]) -> None:
    """Raises UserError if the output ``path`` is the file of one of the inputs, which it would replace.

    ``flag``: the option that named the path. ``inputs``: the option of each input, and its path.
    """
    for named, read in inputs:
        if path.exists() and read.exists() and path.samefile(read):
            raise UserError(f"{flag} {path} is the same file as {named}; choose another name for {flag}")


def remove_abandoned(path: Path) -> None:
    """Remove the temporary files and folders of ``path`` whose processes have ended.

    Other machines must not write ``path``.
    """
    pattern = re.compile(rf"\.{re.escape(path.stem)}\.([0-9]+){re.escape(path.suffix)}")
    for other in path.absolute().parent.glob(".*"):
        if (found := pattern.fullmatch(other.name)) and not psutil.pid_exists(int(found[1])):
            _remove(other)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a temporary file, flush it to disk and rename it to ``path``."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write sorted, indented JSON. Raises ValueError that names the first value which is not finite."""
    _refuse_non_finite(content, "")
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def _refuse_non_finite(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_non_finite(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_non_finite(item, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}: results must be finite numbers")
