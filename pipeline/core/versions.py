"""Versions of the packages that compute the metrics. Results of different versions may be compared with a note."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping

DISTRIBUTION = "lipsmith"
METRIC_PACKAGES = (DISTRIBUTION, "torch", "numpy", "scipy", "opencv-python-headless", "silero-vad")
"""Packages whose arithmetic affects the metrics."""


def version_of(name: str) -> str | None:
    """The installed version; None if the package is not installed."""
    try:
        return importlib.metadata.version(name) or None
    except importlib.metadata.PackageNotFoundError:
        return None


def metric_package_versions() -> dict[str, str]:
    """Package -> version for the installed ones of ``METRIC_PACKAGES``. Imports none of them."""
    return {name: version for name in METRIC_PACKAGES if (version := version_of(name))}


def differing(results: Iterable[Mapping[str, str]]) -> list[str]:
    """Sorted names of the packages for which two results state different versions."""
    found: dict[str, set[str]] = {}
    for versions in results:
        for name, version in versions.items():
            found.setdefault(name, set()).add(version)
    return sorted(name for name, values in found.items() if len(values) > 1)
