"""Fixtures and settings of all tests."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else threads that wait for a busy core compute as much as it does
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.mlflow_server import mlflow_server
from tests.support.preloaded import PreloadedPython, preloaded_python

hypothesis.settings.register_profile("lipsmith", deadline=None)  # tests may be slow on a busy machine
hypothesis.settings.load_profile("lipsmith")

ROOT = Path(__file__).resolve().parents[1]
REAL_CLIPS = ("grid/s1/lwwm2p.mp4", "grid/s26/lbbo3n.mpg", "wild/hq_bbaf2a.mpg")
"""Clips of the GRID corpus: one re-encoded to H.264, one of speaker 26 as published, and the 720x576 recording of
s1's bbaf2a. The folders contain further clips of s1 and, in wild, of other speakers."""


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real talking-face clips, which are not part of the project. Skips the test if it is missing."""
    folder = Path(os.environ.get("LIPSMITH_SHARED_DATA") or ROOT.parent / "shared" / "data")
    absent = [name for name in REAL_CLIPS if not (folder / name).exists()]
    if absent:
        pytest.skip(f"{folder} lacks the real clips {', '.join(absent)}; set LIPSMITH_SHARED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def mlflow_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server that the tests of a process share. Each test uses an experiment of its own."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow-server")) as address:
        yield address


@pytest.fixture(scope="session")
def preloaded() -> Iterator[PreloadedPython]:
    """Runs modules as ``python -m`` does, in processes that need not import torch."""
    with preloaded_python() as python:
        yield python


@pytest.fixture(scope="session")
def block_means() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A replacement for Inception: uint8 [n, 96, 96, 3] -> float32 [n, 27], the means of 32-pixel blocks."""

    def features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        blocks = images.reshape(len(images), 3, 32, 3, 32, 3).astype(np.float32)
        return blocks.mean(axis=(2, 4)).reshape(len(images), -1)

    return features


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """One torch thread at the start of every test, since ``runtime.num_threads: 0`` sets all cores for the process.

    On two cores, two test processes with two threads each take more than ten times as long as with one each.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Let Python's garbage collector leave out the objects of all imports, and look at the others less often.

    Otherwise tests that compute little spend a tenth of their time on it.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the longest tests first: workers take one file after another, and a long one that is left for the end
    keeps the others waiting."""

    def is_marked(item: pytest.Item, name: str) -> bool:
        return item.get_closest_marker(name) is not None

    has_e2e = {item.path for item in items if is_marked(item, "e2e")}
    num_slow = Counter(item.path for item in items if is_marked(item, "slow"))
    items.sort(key=lambda item: (item.path not in has_e2e, -num_slow[item.path]))
