"""The report, and the served deployment on a real Prefect server."""

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

from flows import dvc, retrain, tasks
from flows.tasks import StageResult

ROOT = Path(__file__).resolve().parents[2]
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

MODEL = {
    "version": "1",
    "lse_d": 8.0,
    "lse_c": 5.0,
    "fid": 20.0,
    "num_clips": 44,
    "num_failed": 0,
    "model_sha256": "a",
    "evaluation_digest": "d",
}
RULE = {
    "rule": "max_fid_increase",
    "metric": "FID",
    "champion": 20.0,
    "challenger": 31.0,
    "change": 11.0,
    "limit": 5.0,
    "passed": False,
    "note": "",
}


def decision(**changed: Any) -> dict[str, Any]:
    return {
        "outcome": "refused",
        "reason": "FID",
        "rules": [RULE],
        "challenger": MODEL | {"version": "2", "fid": 31.0},
        "champion": MODEL | {"num_known_clips": 0},
        "rescoring": None,
        "aliases": {"champion": "1", "challenger": "2"},
        "registered_model": "lipsmith-generator",
        "is_registry_changed": True,
    } | changed


def test_the_report_of_a_refusal_names_the_rule_and_both_figures() -> None:
    text = retrain.report([StageResult("train", "ran", "code", 1.0)], decision())
    assert text.startswith("# Retraining: refused: FID\n")
    assert "| max_fid_increase | FID | 31.0000 | 20.0000 | 5.0000 | **failed** | - |" in text
    assert "Registry `lipsmith-generator`: challenger = version 2, champion = version 1." in text
    assert "train  ran      1.0 s  code" in text


def test_the_report_has_the_number_of_failed_clips_of_a_first_model() -> None:
    first = MODEL | {"num_clips": 4, "num_failed": 40}
    rule = {"rule": "no_more_failed", "metric": "clips", "champion": 0, "challenger": 40, "limit": 0, "passed": False}
    rule["note"] = "why"
    text = retrain.report([], decision(outcome="promoted", rules=[rule], challenger=first, champion=None))
    assert "| no_more_failed | clips | 40 | 0 | 0 | **failed** | why |" in text
    assert "| challenger | 1 | 8.0000 | 5.0000 | 20.0000 | 4 (40 failed) | a | d |" in text
    unknown = MODEL | {"num_known_clips": 0, "num_clips": None, "num_failed": None}
    assert "| champion | 1 | 8.0000 | 5.0000 | 20.0000 | - | a | d |" in retrain.report([], decision(champion=unknown))


def test_the_report_has_the_drift_of_every_column() -> None:
    column = {"column": "num_bytes", "psi": 0.25, "ks": 0.5, "ks_p": 0.001, "drifts": True}
    columns = [column, column | {"column": "speaker", "ks": None, "ks_p": None, "drifts": False}]
    text = retrain.report([], decision(), drift={"text": "The clips drift.", "columns": columns, "stops": False})
    assert "The clips drift.\n\n| column | PSI | KS | drift |" in text
    assert "| num_bytes | 0.250 | 0.500 | yes |" in text and "| speaker | 0.250 | - | no |" in text
    assert "The clips drift" not in retrain.report([], decision())


@pytest.mark.parametrize(
    ("rescoring", "sentence"),
    [
        (None, ""),
        ({"fault": ""}, "so it was scored again."),
        ({"fault": "no such file"}, "could not be scored again: no such file"),
    ],
)
def test_the_report_states_whether_the_champion_was_scored_again(
    rescoring: dict[str, Any] | None, sentence: str
) -> None:
    text = retrain.report([], decision(rescoring=rescoring))
    assert sentence in text
    assert ("scored under another evaluation" in text) is (rescoring is not None)


@pytest.mark.parametrize(
    ("num_known_clips", "sentence"),
    [
        (0, "The champion was trained on none of the held-out clips."),
        (3, "The champion was trained on 3 of the clips that are now held out, which can only improve its scores."),
        (None, "The champion's training clips are not recorded"),
    ],
)
def test_the_report_states_how_many_held_out_clips_the_champion_was_trained_on(
    num_known_clips: int | None, sentence: str
) -> None:
    champion = MODEL | {"num_known_clips": num_known_clips}
    assert sentence in retrain.report([], decision(champion=champion))
    assert sentence not in retrain.report([], decision(champion=champion, outcome="already_champion"))
    assert sentence not in retrain.report([], decision(champion=None))


def test_no_change_requires_up_to_date_stages_and_an_unchanged_registry() -> None:
    fresh, restored = StageResult("a", "up_to_date", "", 0.0), StageResult("a", "restored", "", 0.0)
    unchanged = decision(outcome="already_champion", is_registry_changed=False)
    assert retrain.headline([fresh], unchanged).startswith("no change")
    assert not retrain.headline([restored], unchanged).startswith("no change")
    assert not retrain.headline([fresh], decision()).startswith("no change")


def test_a_failed_stage_is_named_and_the_gate_does_not_run() -> None:
    results = [StageResult("a", "failed", "exit 1\nthe cause", 0.0), StageResult("b", "skipped", "a", 0.0)]
    text = retrain.report(results, None)
    assert text.startswith("# Retraining: failed: a; the gate did not run")
    assert "the cause" in text


@pytest.mark.slow
def test_a_failure_of_the_gate_is_reported_with_the_stages() -> None:
    results = [StageResult("train", "ran", "code", 1.0)]
    text = retrain.report(results, None, "pipeline.promote failed (exit code 2)\nno such table")
    assert text.startswith("# Retraining: the gate failed: no such table\n")
    assert "exit code 2" in text and "train  ran" in text


@pytest.mark.slow
def test_new_clips_are_detected_and_an_unchanged_list_makes_nothing_stale(own_stub_pipeline: Path) -> None:
    root = own_stub_pipeline
    for stage in ("download", "train_gan@lstm_cbam", "evaluate@lstm_cbam"):
        dvc.run_stage(root, stage, lambda line: None)
    tasks.detect.fn(root)
    assert dvc.read_reasons(root) == {}
    (root / "clips" / "b.mp4").touch()
    assert dvc.read_reasons(root) == {}
    tasks.detect.fn(root)
    assert dvc.read_reasons(root) == {"train_gan@lstm_cbam": "manifest.json modified"}
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

    def trigger(self) -> str:
        deployment = self.call("/deployments/name/retrain/scheduled")
        return str(self.call(f"/deployments/{deployment['id']}/create_flow_run", {})["id"])

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
    def retrain_with(quality: dict[str, float] | None) -> tuple[str, str, dict[str, Any]]:
        if quality:
            (stub_pipeline / "quality.json").write_text(json.dumps(quality))
        run_id = served.trigger()
        state = served.final_state(run_id)
        assert state["type"] == "COMPLETED", served.log_path.read_text()[-4000:]
        decided = json.loads((stub_pipeline / "artifacts" / "promote" / "decision.json").read_text())
        return state["message"], served.report(run_id), decided

    message, text, decided = retrain_with({"lse_d": 8.0, "fid": 20.0})
    assert message == "promoted: there was no champion"
    assert decided["aliases"] == {"champion": "1"}
    assert "has not run in this checkout" in text

    message, _, decided = retrain_with(None)
    assert message.startswith("no change")
    assert decided["aliases"] == {"champion": "1"}

    (stub_pipeline / "clips" / "b.mp4").touch()
    message, text, decided = retrain_with(None)
    assert "train_gan@lstm_cbam  ran" in text and "manifest.json modified" in text
    assert message.startswith("already_champion")

    message, text, decided = retrain_with({"lse_d": 7.5, "fid": 31.0})
    assert message.startswith("refused: max_fid_increase failed: FID 31 against the champion's 20")
    assert "| max_fid_increase | FID | 31.0000 | 20.0000 | 5.0000 | **failed** | - |" in text
    assert decided["aliases"] == {"champion": "1", "challenger": "2"}


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
