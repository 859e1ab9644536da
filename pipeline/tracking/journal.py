"""Records of an MLflow run on the local disk, until the store has accepted them.

A journal is a folder: ``run.json`` describes the run, ``opened.json`` has its ids in the store, ``records.jsonl`` has
one record a line, ``sent`` is the length of the records that the store has accepted, and ``files`` holds artifacts. A
process locks the journals that it uses.

If a process ends after the store has accepted a record and before it has written ``sent``, the record is sent again.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.core.locks import LockHeldError, locked_or_refused
from pipeline.core.redact import redacted

logger = logging.getLogger(__name__)

_held: set[Path] = set()
"""Locks of this process, which the operating system would grant to it again."""
_RUN, _OPENED, _RECORDS, _SENT, _FILES = "run.json", "opened.json", "records.jsonl", "sent", "files"


def spool_dir(layout: Layout) -> Path:
    """The folder of all journals. A temporary copy uses that of the checkout that remains: DVC removes the copy."""
    return Layout(layout.home).scratch_dir / "mlflow-spool"


def set_aside_dir(layout: Layout) -> Path:
    """The folder of the journals that cannot be sent: they are damaged, or another release wrote them."""
    return spool_dir(layout).with_name("mlflow-set-aside")


class Journal:
    """One journal, locked by this process until ``close``. Thread-safe."""

    def __init__(self, folder: Path, lock: ExitStack) -> None:
        self.folder = folder
        self._lock = lock
        self._writing = threading.Lock()
        self.sent_bytes = int(_text(folder / _SENT) or 0)
        _cut_half_line(folder / _RECORDS)

    @property
    def run(self) -> dict[str, Any]:
        """The description of the run that was given to `create_journal`."""
        content: dict[str, Any] = json.loads((self.folder / _RUN).read_text())
        return content

    @property
    def opened(self) -> list[str | None]:
        """Ids in the store of the run and of its parent, as given to `note_opened`; empty before that."""
        ids: list[str | None] = json.loads(_text(self.folder / _OPENED) or "[]")
        return ids

    def note_opened(self, run: str, parent: str | None) -> None:
        """Keep the ids of the run in the store: records that are sent later belong to the same run."""
        atomic.write_text(self.folder / _OPENED, json.dumps([run, parent]))

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record: a JSON object. Raises OSError if the disk has no room for it; then nothing is added."""
        line = json.dumps(record).encode() + b"\n"
        with self._writing, (self.folder / _RECORDS).open("ab", buffering=0) as file:
            start = file.tell()
            try:
                num_written = file.write(line)
                if num_written != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
            except OSError:
                file.truncate(start)  # otherwise the next record would continue this one's line
                raise

    def keep(self, path: Path) -> str:
        """Keep a file, or the files of a folder, as they are now. Returns the path below the journal's folder."""
        name = f"{_FILES}/{uuid.uuid4().hex[:12]}/{path.name}"
        target = self.folder / name
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target, copy_function=_link)
        else:
            _link(path, target)
        return name

    def unsent(self) -> list[tuple[dict[str, Any], int]]:
        """The records that the store has not accepted, each with what `mark_sent` needs.

        A half-written last line is left out.
        """
        try:
            with (self.folder / _RECORDS).open("rb") as file:
                file.seek(self.sent_bytes)
                content = file.read()
        except FileNotFoundError:
            return []
        found, end = [], self.sent_bytes
        for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
            end += len(line)
            found.append((json.loads(line), end))
        return found

    def mark_sent(self, end: int) -> None:
        """Note that the store has accepted a record and all records before it."""
        self.sent_bytes = end
        atomic.write_text(self.folder / _SENT, str(end))

    def has_status(self) -> bool:
        """Whether the run's final status was recorded."""
        return any(json.loads(line)["kind"] == "status" for line in _text(self.folder / _RECORDS).splitlines())

    def close(self) -> None:
        """Release the lock. A journal whose records are all sent is removed."""
        try:
            is_done = not self.unsent()
        except ValueError:  # damaged
            is_done = False
        self._lock.close()
        if is_done:
            shutil.rmtree(self.folder, ignore_errors=True)


def create_journal(layout: Layout, run: Mapping[str, Any]) -> Journal:
    """A new journal. ``run``: description of the run as JSON."""
    folder = spool_dir(layout) / f"{time.time_ns():020d}-{os.getpid()}"
    lock = _locked(folder)
    atomic.write_text(folder / _RUN, json.dumps(run))
    return Journal(folder, lock)


def has_left(layout: Layout) -> bool:
    """Whether there is any journal, also one that a running stage uses."""
    return any(path.is_dir() for path in spool_dir(layout).glob("*"))


def left_journals(layout: Layout) -> Iterator[Journal]:
    """The journals that no process uses, the oldest first. The caller closes each. Damaged ones are set aside."""
    for folder in sorted(path for path in spool_dir(layout).glob("*") if path.is_dir()):
        try:
            lock = _locked(folder)
        except LockHeldError:
            continue
        if not (folder / _RUN).is_file():  # the process that created it ended at once
            lock.close()
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            journal = Journal(folder, lock)
        except ValueError as error:
            lock.close()
            set_aside(layout, folder, error)
            continue
        yield journal


def set_aside(layout: Layout, folder: Path, error: Exception) -> None:
    """Move a journal that cannot be sent out of the way of the others, with a warning."""
    target = set_aside_dir(layout) / folder.name
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    cause = f"{type(error).__name__}: {redacted(str(error))}"
    logger.warning("the records of an earlier run cannot be sent to MLflow; they are kept in %s (%s)", target, cause)


def _locked(folder: Path) -> ExitStack:
    """The lock of a journal. Raises LockHeldError if this or another process has it."""
    path = folder / "lock"
    if path in _held:
        raise LockHeldError(path, "this process")
    stack = ExitStack()
    stack.enter_context(locked_or_refused(path, "tracking"))
    _held.add(path)
    stack.callback(_held.discard, path)
    return stack


def _link(source: str | Path, target: str | Path) -> None:
    """A hard link costs no space. Outputs are replaced and never edited, so the link keeps the content."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _cut_half_line(path: Path) -> None:
    """Remove a last line that a killed process did not finish."""
    if path.is_file():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
