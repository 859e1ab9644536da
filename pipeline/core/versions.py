"""Which versions of which packages made a figure. Figures may be compared across versions; the reader is told."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping

DISTRIBUTION = "lipsmith"
BEHIND_FIGURES = (DISTRIBUTION, "torch", "numpy", "scipy", "opencv-python-headless", "librosa")
"""Whose arithmetic the judges use."""


def version_of(name: str) -> str | None:
    """The installed version, None where the package is not there."""
    try:
        return importlib.metadata.version(name) or None
    except importlib.metadata.PackageNotFoundError:
        return None


def versions_behind_figures() -> dict[str, str]:
    """Package to version, without those that are not installed under that name. Imports none of them."""
    return {name: version for name in BEHIND_FIGURES if (version := version_of(name))}


def differing(results: Iterable[Mapping[str, str]]) -> list[str]:
    """The packages of which two results name different versions, in alphabetical order."""
    found: dict[str, set[str]] = {}
    for versions in results:
        for name, version in versions.items():
            found.setdefault(name, set()).add(version)
    return sorted(name for name, seen in found.items() if len(seen) > 1)
