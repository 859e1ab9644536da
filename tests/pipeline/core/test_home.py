"""A home directory that cannot be written stops neither a flow nor a stage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.home import is_home_writable, keep_state_out_of_home

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("PREFECT_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_writable_home_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert is_home_writable()
    keep_state_out_of_home()
    assert not [name for name in NAMES if name in os.environ]


@pytest.mark.parametrize("home", ["/dev/null/home", "missing", "file"])
def test_state_is_below_scratch_if_home_cannot_be_written(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setenv("MPLCONFIGDIR", "/elsewhere")
    assert not is_home_writable()
    keep_state_out_of_home(tmp_path / "checkout")
    folder = tmp_path / "checkout" / ".scratch" / "home"
    assert os.environ["PREFECT_HOME"] == str(folder / "prefect")
    assert os.environ["MPLCONFIGDIR"] == "/elsewhere"


@pytest.mark.slow
def test_prefect_uses_the_folder_and_prints_no_warning() -> None:
    code = "import flows, prefect.settings; print(prefect.settings.PREFECT_HOME.value()); from prefect import flow"
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment | {"HOME": "/dev/null/home"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(ROOT / ".scratch" / "home" / "prefect")
    assert done.stderr == ""
