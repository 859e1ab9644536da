"""Detection of new clips, and the served deployment on a real Prefect server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows import dvc, staleness, tasks
from flows.git import run_git
from flows.staleness import StaleReason

ROOT = Path(__file__).resolve().parents[2]
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@pytest.mark.slow
def test_new_clips_are_detected_and_an_unchanged_list_makes_nothing_stale(own_stub_pipeline: Path) -> None:
    root = own_stub_pipeline
    for stage in ("download", "train_gan@lstm_cbam", "evaluate@lstm_cbam"):
        dvc.run_stage(root, stage, lambda line: None)
    tasks.detect.fn(root)
    assert staleness.read_reasons(root) == {}
    (root / "clips" / "b.mp4").touch()
    assert staleness.read_reasons(root) == {}
    tasks.detect.fn(root)
    others = ("manifest.json modified",)
    assert staleness.read_reasons(root) == {"train_gan@lstm_cbam": StaleReason(others=others)}
    (root / "clips" / "c.mp4").touch()
    params_path = root / "params.yaml"
    params_path.write_text(params_path.read_text().replace("source: folder", "source: demo"))
    before = (root / "manifest.json").read_bytes()
    tasks.detect.fn(root)
    assert (root / "manifest.json").read_bytes() == before


class Served:
    """A Prefect server and ``python -m flows.serve``, both on the loopback interface."""

    def __init__(self, checkout: Path, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.api = f"http://127.0.0.1:{port}/api"
        self.log_path = home / "serve.log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "PREFECT_"))}
        self._env = inherited | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self._server = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        self._serve = ["-m", "flows.serve", "--root", str(checkout)]
        self._server_log_path = home / "server.log"

    def start(self) -> None:
        self._start(self._server, self._server_log_path)
        wait_for(lambda: self._answers("/health"), 240)
        self._start(self._serve, self.log_path)
        wait_for(lambda: self._answers("/deployments/name/retrain/scheduled"), 240)

    def _start(self, arguments: list[str], log_path: Path) -> None:
        with log_path.open("wb") as log:
            command = [sys.executable, *arguments]
            self.processes.append(subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=log))

    def try_to_serve(self, checkout: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flows.serve", "--root", str(checkout)]
        return subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=120)

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, {"Content-Type": "application/json"})
        for _ in range(5):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503:  # 503: the server's SQLite was locked, on a busy machine
                    raise
                time.sleep(1)
        raise TimeoutError(path)

    def _answers(self, path: str) -> bool:
        try:
            self.call(path)
        except OSError:
            return False
        return True

    def trigger(self, parameters: dict[str, Any] | None = None) -> str:
        deployment = self.call("/deployments/name/retrain/scheduled")
        created = self.call(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters or {}})
        return str(created["id"])

    def edges(self, run_id: str) -> set[tuple[str, str]]:
        """The edges of a flow run's graph on Prefect's page, as names without their numbers."""
        nodes = dict(self.call(f"/flow_runs/{run_id}/graph-v2")["nodes"])
        names = {node_id: node["label"] for node_id, node in nodes.items()}
        return {(names[p["id"]], names[node_id]) for node_id, node in nodes.items() for p in node["parents"]}

    def subflow_of(self, run_id: str) -> str:
        nodes = dict(self.call(f"/flow_runs/{run_id}/graph-v2")["nodes"])
        (found,) = (node["id"] for node in nodes.values() if node["kind"] == "flow-run")
        return str(found)

    def final_state(self, run_id: str, seconds: float = 300) -> dict[str, Any]:
        state: dict[str, Any] = {}

        def is_final() -> bool:
            state.update(self.call(f"/flow_runs/{run_id}")["state"] or {})
            return state.get("type") in FINAL

        wait_for(is_final, seconds)
        return state

    def report(self, run_id: str) -> str:
        found = self.call(
            "/artifacts/filter",
            {"artifacts": {"flow_run_id": {"any_": [run_id]}, "key": {"any_": ["retrain"]}}},
        )
        return str(found[0]["data"])

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def served(stub_pipeline: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("prefect")
    shutil.copy(empty_database, home)
    served = Served(stub_pipeline, home)
    try:
        served.start()
        yield served
    finally:
        served.stop()


@pytest.mark.slow
def test_the_served_deployment_promotes_refuses_and_reports_no_change(served: Served, stub_pipeline: Path) -> None:
    run_ids: list[str] = []

    def retrain_with(quality: dict[str, float] | None) -> tuple[str, str, dict[str, Any]]:
        if quality:
            (stub_pipeline / "quality.json").write_text(json.dumps(quality))
        run_id = served.trigger()
        run_ids.append(run_id)
        state = served.final_state(run_id)
        assert state["type"] == "COMPLETED", served.log_path.read_text()[-4000:]
        decided = json.loads((stub_pipeline / "artifacts" / "promote" / "decision.json").read_text())
        return state["message"], served.report(run_id), decided

    message, text, decided = retrain_with({"lse_d": 8.0, "fid": 20.0})
    assert message == "promoted: there was no champion"
    first = served.subflow_of(run_ids[-1])
    assert served.edges(first) == {
        ("status", "download"),
        ("download", "train_gan@lstm_cbam"),
        ("train_gan@lstm_cbam", "evaluate@lstm_cbam"),
    }
    chain = served.edges(run_ids[-1])
    assert {("preflight", "detect"), ("detect", "drift"), ("preflight", "gate")} <= chain
    assert {after for before, after in chain if before == "drift"} == {
        f"reproduce / {served.call(f'/flow_runs/{first}')['name']}"
    }
    assert {before for before, after in chain if after == "gate"} > {"preflight"}
    assert decided["aliases"] == {"champion": "1"}
    assert "has not run in this checkout" in text
    commit = run_git(stub_pipeline, "rev-parse", "results")
    assert f"| results | {commit[:12]} | not sent |" in text and "DVC has no default remote" in text
    assert "dvc.lock" in run_git(stub_pipeline, "diff", "--name-only", "HEAD", commit).splitlines()
    assert ("gate", "commit") in chain

    run_git(stub_pipeline, "branch", "-q", "-D", "results")  # as if the commit had been missed
    message, text, decided = retrain_with(None)
    assert message.startswith("no change")
    assert decided["aliases"] == {"champion": "1"}
    commit = run_git(stub_pipeline, "rev-parse", "results")
    assert f"| results | {commit[:12]} | not sent |" in text
    assert run_git(stub_pipeline, "show", "-s", "--format=%s", commit).startswith("Results of the champion, version 1")

    (stub_pipeline / "clips" / "b.mp4").touch()
    message, text, decided = retrain_with({"lse_d": 7.5, "fid": 31.0})
    assert "train_gan@lstm_cbam  ran" in text and "manifest.json modified" in text
    assert message.startswith("refused: max_fid_increase failed: FID 31 against the champion's 20")
    assert "| max_fid_increase | FID | 31.0000 | 20.0000 | 5.0000 | **failed** | - |" in text
    assert decided["aliases"] == {"champion": "1", "challenger": "2"}


@pytest.mark.slow
def test_a_run_takes_stages_and_values_and_leaves_out_the_gate(served: Served, stub_pipeline: Path) -> None:
    run_id = served.trigger({"targets": ["download"], "overrides": {"runtime.log_every_steps": 11}})
    assert served.final_state(run_id)["message"] == (
        "reproduced without the gate: the targets leave out evaluate@lstm_cbam"
    )
    assert "runtime.log_every_steps: 10 -> 11" in served.report(run_id)
    assert yaml.safe_load((stub_pipeline / "params.yaml").read_text())["runtime"]["log_every_steps"] == 11


@pytest.mark.slow
def test_a_second_run_is_cancelled_and_sigterm_leaves_nothing(served: Served, stub_pipeline: Path) -> None:
    """Runs last in this module, since it ends the server's process."""
    (stub_pipeline / "quality.json").write_text(json.dumps({"lse_d": 7.0, "fid": 20.0, "sleep_s": 600}))
    first = served.trigger()
    wait_for((stub_pipeline / "sleeping").exists, 300)
    second = served.trigger()
    assert served.final_state(second)["type"] == "CANCELLED"
    assert served.call(f"/flow_runs/{first}")["state"]["type"] == "RUNNING"
    assert "retrain (process" in served.call(f"/flow_runs/{second}")["state"]["message"]

    other = served.try_to_serve(ROOT)
    assert other.returncode == 2
    assert f"retrain/scheduled at {served.api} belongs to {stub_pipeline}, not to {ROOT}" in other.stderr

    serve = served.processes[-1]
    below = psutil.Process(serve.pid).children(recursive=True)
    assert any("stub.py" in argument for process in below for argument in process.cmdline())
    serve.send_signal(signal.SIGTERM)
    serve.wait(timeout=60)
    assert not [process for process in below if is_alive(process)]
    schedules = served.call("/deployments/name/retrain/scheduled")["schedules"]
    assert [s["active"] for s in schedules] == [True]  # a restarted service continues with the schedule


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.3)
