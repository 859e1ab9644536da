"""Folders of files that can be computed again. The least recently used files are removed above a size."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def mark_used(path: Path) -> None:
    """Set the time of a file's last use to now. A folder that cannot be written keeps the old time."""
    with suppress(OSError):
        os.utime(path)


def limit_size(folder: Path, max_bytes: int) -> None:
    """Remove the files that were used least recently until the others have ``max_bytes`` at most.

    The last used file stays, whatever its size. A file that another process removes meanwhile is no error, nor is one
    that cannot be removed.
    """
    files: list[tuple[int, int, Path]] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime_ns, status.st_size, path))
    num_bytes = 0
    for place, (_, size, path) in enumerate(sorted(files, reverse=True)):
        num_bytes += size
        if place and num_bytes > max_bytes:
            with suppress(OSError):
                path.unlink()
