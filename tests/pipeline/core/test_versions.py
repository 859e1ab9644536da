"""Versions of the packages that compute the metrics."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.versions import differing, metric_package_versions


def test_versions_match_the_imported_packages() -> None:
    found = metric_package_versions()
    assert found["numpy"] == np.__version__
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_reading_versions_imports_none_of_the_packages(repo_root: Path) -> None:
    code = "import sys, pipeline.core.versions as v; v.metric_package_versions(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo_root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert metric_package_versions() == {"scipy": "1.2.3"}


def test_only_packages_that_two_results_name_can_differ() -> None:
    first, other = {"numpy": "2.1", "torch": "2.11", "scipy": "1.0"}, {"torch": "2.12", "numpy": "2.0", "scipy": "1.0"}
    assert differing([first, first | {"pillow": "12"}, {}]) == []
    assert differing([first, {}, other]) == ["numpy", "torch"]
