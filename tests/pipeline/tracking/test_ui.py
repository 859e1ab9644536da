"""The server of MLflow's page: its address, its end and a port that is in use."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.util import CommandError

from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.tracking import ui


def test_a_checkout_without_runs_opens_the_list_of_experiments(tmp_path: Path) -> None:
    assert ui.first_page(Layout(tmp_path)) == "#/experiments"


def test_a_database_of_another_version_of_mlflow_is_reported_with_the_remedy(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(layout: Layout) -> None:
        raise CommandError("Can't locate revision identified by 'abc'")

    layout = Layout(tmp_path)
    shutil.copy(repo_root / "params.yaml", tmp_path)
    layout.mlflow_db_path.touch()
    monkeypatch.setattr(ui, "open_client", refuse)
    with pytest.raises(UserError, match=r"another version; .* `mlflow db upgrade sqlite:///.*mlflow\.db`"):
        ui.first_page(layout)


def test_a_port_in_use_is_reported_with_another_one(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} .* in use.*--port {port + 1}"):
            ui.serve(Layout(tmp_path), port)


def _wait_for_server(port: int) -> bool:
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
def test_the_page_is_served_until_the_process_is_ended(tmp_path: Path, repo_root: Path) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pipeline.tracking", "--no-open", "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    try:
        line = next((line for line in process.stderr if "the runs: " in line), "")
        assert _wait_for_server(port)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert f"http://127.0.0.1:{port}/#/experiments" in line
    assert process.returncode == 128 + signal.SIGTERM
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
