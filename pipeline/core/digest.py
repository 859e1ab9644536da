"""SHA-256 digests of files and name lists. They link results to their clips and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def sha256_of_names(names: Iterable[str]) -> str:
    """Hex SHA-256 of a set of names, independent of their order."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, which is read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
