"""File locks between processes. A lock is released at the end of its block or of its process."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from pipeline.core import atomic
from pipeline.core.errors import TemporaryError

logger = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""A wait shorter than this is not logged."""


class LockHeldError(TemporaryError):
    """Another process holds the lock. ``holder`` describes that process; it is empty if no description was written."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by {holder or 'another process'}")
        self.holder = holder


@contextmanager
def locked(path: Path, activity: str) -> Iterator[None]:
    """Hold the lock ``path``. Wait while another process or thread holds it.

    ``activity`` completes the log line "another process is ...; waiting for it".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        held = lock.acquire(timeout=PATIENCE_S)
    except Timeout:
        logger.info("another process is %s; waiting for it", activity)
        held = lock.acquire()
    with held:
        yield


@contextmanager
def locked_or_refused(path: Path, holder: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock ``path``. Raises LockHeldError if another process still holds it after ``wait_s`` seconds,
    which may be infinite.

    The process that holds the lock may enter again from any thread. ``holder`` describes this process to others while
    it holds the lock; the process id and the time are added.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False, is_singleton=True)  # one object per process counts nested holds
    note = path.with_name(f"{path.name}.holder")
    is_outermost = not lock.is_locked
    try:
        held = _acquired(lock, note, wait_s)
    except Timeout:
        raise LockHeldError(path, _holder(note)) from None
    with held:
        if not is_outermost:
            yield
            return
        atomic.write_text(note, f"{holder} (process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M})")
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


def _acquired(lock: BaseFileLock, note: Path, wait_s: float) -> AbstractContextManager[object]:
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        if not wait_s:
            raise
    limit = f"up to {wait_s:.0f} s " if math.isfinite(wait_s) else ""
    logger.warning("waiting %sfor %s", limit, _holder(note) or "another process")
    return lock.acquire(timeout=wait_s)


def _holder(note: Path) -> str:
    try:
        return note.read_text()
    except OSError:
        return ""
