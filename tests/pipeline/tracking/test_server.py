"""A real MLflow server that is down, comes back, refuses the name of its host, and is killed in mid-training."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from pipeline.core.layout import Layout
from pipeline.params import load_params
from pipeline.tracking import delivery, sender
from pipeline.tracking.delivery import send_left_runs
from pipeline.tracking.probe import find_fault
from pipeline.tracking.tracker import open_described_run, open_tracker

pytestmark = pytest.mark.slow

START_S = 300.0


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """MLflow's own server on the loopback interface. It accepts only requests that name it 127.0.0.1 with its port."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    command += ["--allowed-hosts", f"127.0.0.1:{port}"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (folder / "log").open("a") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    uri, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while find_fault(uri):
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield uri
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), server]:
            process.kill()
        server.wait()


def test_what_is_trained_without_a_server_is_in_it_afterwards(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(sender, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(delivery, "END_WAIT_S", 120.0)
    shutil.copy(repo_root / "params.yaml", tmp_path)
    layout, params = Layout(tmp_path), load_params(repo_root / "params.yaml")
    (tmp_path / "curve.png").write_text("c")
    (tmp_path / "server").mkdir()

    def train(steps: range) -> str | None:
        with open_tracker(layout, "train_gan", "no_lstm", params, "f", {"train_gan": {"num_steps": 9}}) as tracker:
            for step in steps:
                tracker.log_metrics({"loss": 0.5}, step)
            tracker.log_artifact(tmp_path / "curve.png")
        return tracker.run_id

    assert train(range(3)) is None
    assert f"start it with `mlflow server --port {port}`" in caplog.text
    with mlflow_server(tmp_path / "server", port) as uri:
        run = train(range(3, 6))  # also sends the records of the stage before
        assert run is not None
        refused = find_fault(uri.replace("127.0.0.1", "localhost"))
        assert refused is not None and f"--allowed-hosts localhost:{port}" in refused.remedy
    assert train(range(6, 9)) is None
    with mlflow_server(tmp_path / "server", port) as uri:
        assert send_left_runs(layout, open_described_run) == 1
        client = MlflowClient(uri)
        found = client.get_run(run)
        assert [point.step for point in client.get_metric_history(run, "loss")] == list(range(9))
        assert found.info.status == "FINISHED"
        assert found.data.params["variant"] == "no_lstm"
        assert [artifact.path for artifact in client.list_artifacts(run)] == ["curve.png"]
