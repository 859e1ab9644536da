"""Download several files in parallel: check of free disk space, one progress display, a lock per folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

from pipeline.core.errors import LipsmithError
from pipeline.core.locks import locked
from pipeline.fetch.credentials import Credentials
from pipeline.fetch.http import DiskFullError, RemoteFile, download, remote_size
from pipeline.report.progress import BYTES, Progress

RESERVE_BYTES = 200_000_000
"""Space that must stay free on the disk besides the files."""


class _StoppedError(LipsmithError):
    """The download was stopped because another file of the batch failed."""


def with_sizes(files: Sequence[RemoteFile], credentials: Credentials | None, num_connections: int) -> list[RemoteFile]:
    """The files with unknown sizes filled in, from disk or else from the server. Raises TransferError."""

    def sized(remote: RemoteFile) -> RemoteFile:
        if remote.size_bytes is not None:
            return remote
        if remote.path.is_file():
            return replace(remote, size_bytes=remote.path.stat().st_size)
        return replace(remote, size_bytes=remote_size(remote.url, credentials))

    with ThreadPoolExecutor(num_connections) as pool:
        return list(pool.map(sized, files))


def require_room(folder: Path, num_bytes: int, purpose: str) -> None:
    """Raise DiskFullError if ``folder``'s disk has less than ``num_bytes`` free. The message names ``purpose``."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < num_bytes + RESERVE_BYTES:
        raise DiskFullError(
            f"{folder} has {free / 1e9:.1f} GB free, but {purpose} needs about "
            f"{(num_bytes + RESERVE_BYTES) / 1e9:.1f} GB; free some space, or choose another folder"
        )


def num_missing_bytes(files: Sequence[RemoteFile]) -> int:
    """The bytes still to download. Files of unknown size count as 0."""
    return sum(max(0, (remote.size_bytes or 0) - remote.num_present_bytes) for remote in files)


def fetch_all(files: Sequence[RemoteFile], credentials: Credentials | None = None, *, num_connections: int = 4) -> None:
    """Download every file to its path, with ``num_connections`` downloads at a time.

    The first failure stops the other downloads; partial files are kept for the next call. Raises TransferError.
    """
    sizes = [remote.size_bytes for remote in files]
    total = sum(size for size in sizes if size is not None) if None not in sizes else None
    stop = Event()
    with Progress("download", total, BYTES) as progress, ThreadPoolExecutor(num_connections) as pool:

        def count_bytes(count: int, is_fresh: bool) -> None:
            progress.add(count, is_fresh=is_fresh)
            if stop.is_set():
                raise _StoppedError

        waiting = [pool.submit(download, remote, credentials, count_bytes) for remote in files]
        try:
            for done in as_completed(waiting):
                done.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock on downloads into ``folder``. Waits while another process holds it."""
    with locked(folder / ".lock", f"downloading into {folder}"):
        yield
