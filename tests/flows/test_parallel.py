"""The walk over the graph, and how many stages run at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import dvc, parallel
from flows.processes import CommandEndedError, stream
from flows.tasks import StageResult
from pipeline.params import load_params

ROOT = Path(__file__).resolve().parents[2]
GRAPH = dvc.StageGraph({"a": (), "b": ("a",), "c": ("a",), "d": ("b",), "e": ("c", "d")})
ALONE = dict.fromkeys("abcdefgh", 1)


def walk(reasons: dict[str, str], outcomes: dict[str, dvc.StageOutcome]) -> tuple[dict[str, str], list[str]]:
    """Run the walk with fixed outcomes. Returns stage -> outcome, and the stages for which DVC was called."""
    called: list[str] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], num_cores: int) -> StageResult:
        if blocked_by:
            return StageResult(stage, "skipped", ", ".join(blocked_by), 0.0)
        if reason == "":
            return StageResult(stage, "up_to_date", "", 0.0)
        called.append(stage)
        return StageResult(stage, outcomes.get(stage, "ran"), "", 0.0)

    return {r.stage: r.outcome for r in parallel.walk(GRAPH, reasons, run, most_jobs=1, cores=ALONE)}, called


def test_dvc_is_not_called_if_everything_is_up_to_date() -> None:
    outcomes, called = walk({}, {})
    assert set(outcomes.values()) == {"up_to_date"}
    assert called == []


def test_dvc_is_called_only_downstream_of_a_change() -> None:
    outcomes, called = walk({"b": "changed"}, {"d": "up_to_date"})
    assert called == ["b", "d"]  # e's inputs did not change, since d was up to date
    assert outcomes["e"] == "up_to_date"


def test_a_failure_skips_only_downstream_stages() -> None:
    outcomes, called = walk(dict.fromkeys("abcde", "new"), {"b": "failed"})
    assert outcomes == {"a": "ran", "b": "failed", "c": "ran", "d": "skipped", "e": "skipped"}
    assert called == ["a", "b", "c"]


def test_a_skipped_stage_gets_the_failed_stages_and_not_the_skipped_ones() -> None:
    blockers: dict[str, list[str]] = {}

    def run(stage: str, *, reason: str | None, blocked_by: list[str], num_cores: int) -> StageResult:
        blockers[stage] = blocked_by
        outcome: dvc.StageOutcome = "skipped" if blocked_by else "failed" if stage in "bc" else "ran"
        return StageResult(stage, outcome, "", 0.0)

    parallel.walk(GRAPH, dict.fromkeys("abcde", "new"), run, most_jobs=1, cores=ALONE)
    assert blockers == {"a": [], "b": [], "c": [], "d": ["b"], "e": ["c", "b"]}


def test_independent_stages_run_in_parallel() -> None:
    meeting = threading.Barrier(2, timeout=20)  # breaks unless b and c run in parallel
    ended: list[str] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], num_cores: int) -> StageResult:
        assert all(before in ended for before in GRAPH.upstream[stage])
        assert num_cores == (5 if stage == "b" else 1)
        if stage in "bc":
            meeting.wait()
        ended.append(stage)
        return StageResult(stage, "ran", "", 0.0)

    parallel.walk(GRAPH, dict.fromkeys("abcde", "new"), run, most_jobs=4, cores=ALONE | {"b": 5})
    assert sorted(ended) == list("abcde")


def test_at_most_most_jobs_stages_run_in_parallel() -> None:
    graph = dvc.StageGraph(dict.fromkeys("abcdefgh", ()))
    running: set[str] = set()
    most: list[int] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], num_cores: int) -> StageResult:
        running.add(stage)
        time.sleep(0.05)
        most.append(len(running))
        running.discard(stage)
        return StageResult(stage, "ran", "", 0.0)

    assert len(parallel.walk(graph, dict.fromkeys("abcdefgh", "new"), run, most_jobs=3, cores=ALONE)) == 8
    assert max(most) == 3


def test_stages_of_one_wave_share_the_cores_equally() -> None:
    assert parallel.cores_of_stages(GRAPH, most_jobs=4, total=6) == {"a": 6, "b": 3, "c": 3, "d": 6, "e": 6}
    assert set(parallel.cores_of_stages(GRAPH, most_jobs=1, total=6).values()) == {6}
    assert set(parallel.cores_of_stages(dvc.StageGraph(dict.fromkeys("abc", ())), most_jobs=3, total=2).values()) == {1}


def test_an_exception_ends_running_commands_and_prevents_new_ones(tmp_path: Path) -> None:
    graph = dvc.StageGraph({"running": (), "starting": (), "bug": ()})
    pid_path, late_path = tmp_path / "pid", tmp_path / "late"
    stopped: list[str] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], num_cores: int) -> StageResult:
        while stage != "running" and not (pid_path.is_file() and pid_path.read_text().strip()):
            time.sleep(0.02)
        if stage == "bug":
            raise ZeroDivisionError
        if stage == "starting":
            time.sleep(1.0)
        script = "echo $$ > pid; exec sleep 300" if stage == "running" else "touch late"
        try:
            stream(["sh", "-c", script], tmp_path, print)
        except CommandEndedError:
            stopped.append(stage)
            raise
        return StageResult(stage, "ran", "", 0.0)

    with pytest.raises(ZeroDivisionError):
        parallel.walk(
            graph, dict.fromkeys(graph.upstream, "new"), run, most_jobs=3, cores=dict.fromkeys(graph.upstream, 1)
        )
    assert sorted(stopped) == ["running", "starting"]
    assert not psutil.pid_exists(int(pid_path.read_text()))
    assert not late_path.exists()


def test_num_jobs_follows_the_setting_the_cores_and_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_params(ROOT / "params.yaml")
    machine: dict[str, Any] = {"free": 64, "cores": 6}
    monkeypatch.setattr(parallel, "num_cores", lambda: machine["cores"])
    monkeypatch.setattr(parallel, "available_bytes", lambda: machine["free"] * 2**30)

    def jobs(width: float = 0.25, gpus: tuple[str, ...] = (), **runtime: object) -> int:
        changes = {
            "runtime": params.runtime.model_copy(update={"device": "cpu", **runtime}),
            "train_gan": params.train_gan.model_copy(update={"width": width}),
        }
        return parallel.num_jobs(params.model_copy(update=changes), gpus)

    assert jobs() == 6
    assert jobs(num_jobs=3) == 3
    assert jobs(num_processes=2) == 1
    machine["cores"] = 2
    assert jobs() == 2
    machine |= {"cores": 6, "free": 7}
    assert jobs() == 3
    assert jobs(width=1) == 1
    machine["free"] = 5
    assert jobs() == 2
    machine["free"] = 1
    assert jobs() == 1
    machine["free"] = 64
    assert jobs(device="cuda") == 1
    assert jobs(device="auto", gpus=("0",)) == 1
    assert jobs(device="auto", gpus=("0", "1", "2")) == 3
    assert jobs(device="auto", gpus=("0", "1"), num_processes=2) == 1
    machine["cores"] = 2
    assert jobs(device="auto", gpus=("0", "1", "2")) == 2
