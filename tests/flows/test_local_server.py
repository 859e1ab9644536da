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

import psutil
import pytest

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
    ) as serve:
        assert serve.stdout is not None
        lines = []
        while not lines or not lines[-1].startswith("Stop:"):
            lines.append(serve.stdout.readline())
            assert lines[-1], lines
        (page,) = re.findall(r"http://127\.0\.0\.1:[0-9]+(?=/deployments)", "".join(lines))
        with urllib.request.urlopen(f"{page}/api/deployments/name/retrain/scheduled") as answer:
            assert answer.status == 200
        second = subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True)
        assert second.returncode == 75
        assert f"flows.serve (process {serve.pid}" in second.stderr
        below = psutil.Process(serve.pid).children(recursive=True)
        os.killpg(serve.pid, signal.SIGINT)
        assert serve.wait(timeout=60) == 0
    time.sleep(0.2)
    assert not [process for process in below if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
