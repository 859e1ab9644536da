"""Fixtures and switches that every test shares."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real talking-face clips, which are not part of the project."""
    folder = Path(os.environ.get("LIPSMITH_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "grid").is_dir():
        pytest.skip(f"no real clips at {folder}; set LIPSMITH_SHARED_DATA to a folder that holds grid/s1")
    return folder
