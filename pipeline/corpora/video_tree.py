"""A tree of the user's videos, on disk or in remote storage, seen the same way.

Names are paths below the tree's root, with ``/``.
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

log = logging.getLogger(__name__)


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, in order. Linked folders are entered, each folder once: its place in the tree wins.

    A folder that may not be listed is told and left out.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    starts = deque([folder])
    while starts:
        for name, folders, files in os.walk(starts.popleft(), onerror=_warn_of_folder):
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


def _warn_of_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        log.warning("left out %s: %s", error.filename, error.strerror)


class VideoTree(Protocol):
    """``label`` names it in messages; ``sizes`` holds the bytes of every file that is not hidden."""

    label: str
    sizes: Mapping[str, int]

    def read(self, name: str) -> bytes:
        """The content of a small file among ``sizes``."""

    def path_of(self, name: str) -> str:
        """As a manifest names it."""

    def digests(self, names: list[str]) -> dict[str, str]:
        """SHA-256 of each file; every byte is read."""


class LocalTree:
    """Videos below a folder. Raises UserError where it is none."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self.label = str(self._root)
        if not self._root.is_dir():
            raise UserError(f"{self.label} is no folder; set dataset.folder.root in params.yaml")
        files = ((path.relative_to(self._root).as_posix(), path) for path in files_below(self._root))
        self.sizes: Mapping[str, int] = {name: path.stat().st_size for name, path in files if not is_hidden(name)}

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def path_of(self, name: str) -> str:
        return str(self._root / name)

    def digests(self, names: list[str]) -> dict[str, str]:
        return {name: sha256_of(self._root / name) for name in names}


class RemoteTree:
    """Videos below an fsspec URL. Raises OutageError, or UserError for storage or names that cannot be read."""

    def __init__(self, url: str, num_connections: int) -> None:
        self._folder = RemoteFolder(url)
        self._num_connections = num_connections
        self.label = self._folder.url
        self.sizes: Mapping[str, int] = {
            name: size for name, size in sorted(self._folder.sizes().items()) if not is_hidden(name)
        }
        if chained := [name for name in self.sizes if "::" in name]:
            raise UserError(f"{self.label}/{chained[0]}: fsspec takes :: for a chain of addresses; rename the file")

    def read(self, name: str) -> bytes:
        return self._folder.read(name)

    def path_of(self, name: str) -> str:
        return self._folder.url_of(name)

    def digests(self, names: list[str]) -> dict[str, str]:
        with ThreadPoolExecutor(self._num_connections) as pool:
            return dict(zip(names, pool.map(self._folder.sha256, names), strict=True))
