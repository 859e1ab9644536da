"""A tree of the user's videos, with one interface for disks and remote storage.

Names are paths relative to the tree's root, with ``/``.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.corpora.storage import RemoteFolder
from pipeline.media.container import is_hidden

logger = logging.getLogger(__name__)


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, sorted. Symbolic links to folders are followed.

    Each folder is read once. If it can be reached by a link and directly, its direct path is used. A folder without
    read permission is skipped with a warning.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    starts = deque([folder])
    while starts:
        for name, folders, files in os.walk(starts.popleft(), onerror=_warn_about_folder):
            here = Path(name)
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            found += [path for file in files if (path := here / file).is_file()]
            starts += sorted(path for inner in folders if (path := here / inner).is_symlink())
            folders.sort()
    return sorted(found)


def _warn_about_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        logger.warning("skipped %s: %s", error.filename, error.strerror)


class VideoTree(Protocol):
    """A tree of videos. ``label`` names it in messages; ``sizes`` has the bytes of every file that is not hidden."""

    label: str
    sizes: Mapping[str, int]

    def read(self, name: str) -> bytes:
        """The content of a small file in ``sizes``."""

    def path_of(self, name: str) -> str:
        """The path or URL that a manifest stores."""

    def digests(self, names: list[str]) -> dict[str, str]:
        """The hex SHA-256 of each file. Every file is read completely."""


class LocalTree:
    """Videos below a folder. Raises UserError if ``root`` is not a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self.label = str(self._root)
        if not self._root.is_dir():
            raise UserError(f"{self.label} is not a folder; set dataset.folder.root in params.yaml")
        files = ((path.relative_to(self._root).as_posix(), path) for path in files_below(self._root))
        self.sizes: Mapping[str, int] = {name: path.stat().st_size for name, path in files if not is_hidden(name)}

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def path_of(self, name: str) -> str:
        return str(self._root / name)

    def digests(self, names: list[str]) -> dict[str, str]:
        return {name: sha256_of(self._root / name) for name in names}


class RemoteTree:
    """Videos below an fsspec URL.

    Raises OutageError if storage does not answer, and UserError for a URL or a name that cannot be read.
    """

    def __init__(self, url: str, num_connections: int) -> None:
        self._folder = RemoteFolder(url)
        self._num_connections = num_connections
        self.label = self._folder.url
        self.sizes: Mapping[str, int] = {
            name: size for name, size in sorted(self._folder.sizes().items()) if not is_hidden(name)
        }
        if chained := [name for name in self.sizes if "::" in name]:
            raise UserError(f"{self.label}/{chained[0]}: fsspec reads :: as a chain of URLs; rename the file")

    def read(self, name: str) -> bytes:
        return self._folder.read(name)

    def path_of(self, name: str) -> str:
        return self._folder.url_of(name)

    def digests(self, names: list[str]) -> dict[str, str]:
        with ThreadPoolExecutor(self._num_connections) as pool:
            return dict(zip(names, pool.map(self._folder.sha256, names), strict=True))
