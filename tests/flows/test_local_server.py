"""``make serve``: a server of the checkout, which ends with the command."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from unittest.mock import AsyncMock, MagicMock

import psutil
import pytest

from flows import serve

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_ctrl_c_ends_the_served_flows_and_the_server(own_stub_pipeline: Path, empty_database: Path) -> None:
    home = own_stub_pipeline / ".scratch" / "prefect"
    home.mkdir(parents=True)
    shutil.copy(empty_database, home)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.serve", "--with-server", "--root", str(own_stub_pipeline)]
    with subprocess.Popen(
        command, cwd=ROOT, env=inherited, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as serving:
        assert serving.stdout is not None
        lines = []
        while not lines or not lines[-1].startswith("Stop:"):
            lines.append(serving.stdout.readline())
            assert lines[-1], lines
        (page,) = re.findall(r"http://127\.0\.0\.1:[0-9]+(?=/deployments)", "".join(lines))
        with urllib.request.urlopen(f"{page}/api/deployments/name/retrain/scheduled") as answer:
            assert answer.status == 200
        second = subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True)
        assert second.returncode == 75
        assert f"flows.serve (process {serving.pid}" in second.stderr
        below = psutil.Process(serving.pid).children(recursive=True)
        os.killpg(serving.pid, signal.SIGINT)
        assert serving.wait(timeout=60) == 0
    time.sleep(0.2)
    assert not [process for process in below if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("is_own_server", [True, False])
def test_only_the_deployments_on_a_server_of_others_are_checked(
    is_own_server: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server in .scratch has deployments with the former path of a moved checkout."""
    checked = []
    monkeypatch.setattr(serve, "require_own", checked.append)
    monkeypatch.setattr(serve, "announcement", lambda made, root, now: "served")
    monkeypatch.setattr(serve, "_Runner", lambda pause_on_shutdown: MagicMock(start=AsyncMock()))
    monkeypatch.setattr(signal, "signal", lambda signum, handler: None)
    monkeypatch.setenv(serve.CHECKOUT_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    assert serve._serve(tmp_path, [], 1 if is_own_server else None) == 0
    assert bool(checked) != is_own_server
