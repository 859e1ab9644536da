"""The walk over the graph, and the command line. The Prefect task is called through ``.fn()``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import yaml

from flows import dvc, reproduce, retrain, tasks
from flows.processes import CommandEndedError, stream
from flows.tasks import StageResult
from pipeline.core.layout import Layout
from pipeline.params import load_params

ROOT = Path(__file__).resolve().parents[2]
GRAPH = dvc.StageGraph({"a": (), "b": ("a",), "c": ("a",), "d": ("b",), "e": ("c", "d")})
ALONE = dict.fromkeys("abcdefgh", 1)


def walk(reasons: dict[str, str], outcomes: dict[str, dvc.StageOutcome]) -> tuple[dict[str, str], list[str]]:
    """Run the walk with fixed outcomes. Returns stage -> outcome, and the stages for which DVC was called."""
    called: list[str] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
        if blocked_by:
            return StageResult(stage, "skipped", ", ".join(blocked_by), 0.0)
        if reason == "":
            return StageResult(stage, "up_to_date", "", 0.0)
        called.append(stage)
        return StageResult(stage, outcomes.get(stage, "ran"), "", 0.0)

    return {r.stage: r.outcome for r in reproduce.walk(GRAPH, reasons, run, most_jobs=1, shares=ALONE)}, called


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

    def run(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
        blockers[stage] = blocked_by
        outcome: dvc.StageOutcome = "skipped" if blocked_by else "failed" if stage in "bc" else "ran"
        return StageResult(stage, outcome, "", 0.0)

    reproduce.walk(GRAPH, dict.fromkeys("abcde", "new"), run, most_jobs=1, shares=ALONE)
    assert blockers == {"a": [], "b": [], "c": [], "d": ["b"], "e": ["c", "b"]}


def test_independent_stages_run_in_parallel() -> None:
    meeting = threading.Barrier(2, timeout=20)  # breaks unless b and c run in parallel
    ended: list[str] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
        assert all(before in ended for before in GRAPH.upstream[stage])
        assert share == (5 if stage == "b" else 1)
        if stage in "bc":
            meeting.wait()
        ended.append(stage)
        return StageResult(stage, "ran", "", 0.0)

    reproduce.walk(GRAPH, dict.fromkeys("abcde", "new"), run, most_jobs=4, shares=ALONE | {"b": 5})
    assert sorted(ended) == list("abcde")


def test_at_most_most_jobs_stages_run_in_parallel() -> None:
    graph = dvc.StageGraph(dict.fromkeys("abcdefgh", ()))
    running: set[str] = set()
    most: list[int] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
        running.add(stage)
        time.sleep(0.05)
        most.append(len(running))
        running.discard(stage)
        return StageResult(stage, "ran", "", 0.0)

    assert len(reproduce.walk(graph, dict.fromkeys("abcdefgh", "new"), run, most_jobs=3, shares=ALONE)) == 8
    assert max(most) == 3


def test_stages_of_one_wave_share_the_cores_equally() -> None:
    assert reproduce.shares_of(GRAPH, most_jobs=4, cores=6) == {"a": 6, "b": 3, "c": 3, "d": 6, "e": 6}
    assert set(reproduce.shares_of(GRAPH, most_jobs=1, cores=6).values()) == {6}
    assert set(reproduce.shares_of(dvc.StageGraph(dict.fromkeys("abc", ())), most_jobs=3, cores=2).values()) == {1}


def test_an_exception_ends_running_commands_and_prevents_new_ones(tmp_path: Path) -> None:
    graph = dvc.StageGraph({"running": (), "starting": (), "bug": ()})
    pid_path, late_path = tmp_path / "pid", tmp_path / "late"
    stopped: list[str] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
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
        reproduce.walk(
            graph, dict.fromkeys(graph.upstream, "new"), run, most_jobs=3, shares=dict.fromkeys(graph.upstream, 1)
        )
    assert sorted(stopped) == ["running", "starting"]
    assert not psutil.pid_exists(int(pid_path.read_text()))
    assert not late_path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("ends_with", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_flow_and_its_parallel_stages(
    own_stub_pipeline: Path, prefect_home: Path, tmp_path: Path, ends_with: signal.Signals
) -> None:
    params = yaml.safe_load((own_stub_pipeline / "params.yaml").read_text())
    params["variants"] = {name: params["variants"]["lstm_cbam"] | {"seed": seed} for seed, name in enumerate("ab")}
    params["promote"]["variant"] = "a"
    params["runtime"]["num_jobs"] = 2
    (own_stub_pipeline / "params.yaml").write_text(yaml.safe_dump(params))
    (own_stub_pipeline / "quality.json").write_text(json.dumps({"lse_d": 8.0, "fid": 20.0, "sleep_s": 300}))
    command = [sys.executable, "-m", "flows.reproduce", "--root", str(own_stub_pipeline)]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_HOME": str(prefect_home)}
    log = (tmp_path / "log").open("w+")
    flow = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    deadline = time.monotonic() + 300
    below: list[psutil.Process] = []
    while len({variant for process in below for variant in _trained_by(process)}) < 2:
        assert flow.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
        below = psutil.Process(flow.pid).children(recursive=True)
    if ends_with == signal.SIGINT:  # Ctrl-C also reaches the stages
        os.killpg(flow.pid, ends_with)
    else:
        flow.send_signal(ends_with)
    assert flow.wait(timeout=60) == 128 + ends_with
    if ends_with == signal.SIGINT:
        log.seek(0)
        lines = log.read().splitlines()
        assert "Stopping train_gan@a and train_gan@b. Ctrl-C again ends them at once." in lines
        assert lines[-1] == "Stopped train_gan@a and train_gan@b. Run the same command again to resume."
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_the_outcome_is_printed_last_and_the_server_has_recorded_every_task(
    own_stub_pipeline: Path, prefect_home: Path
) -> None:
    params = yaml.safe_load((own_stub_pipeline / "params.yaml").read_text())
    params["variants"] = {f"v{seed}": params["variants"]["lstm_cbam"] | {"seed": seed} for seed in range(40)}
    params["promote"]["variant"] = "v0"
    (own_stub_pipeline / "params.yaml").write_text(yaml.safe_dump(params))
    (own_stub_pipeline / "clips" / "a.mp4").unlink()
    (own_stub_pipeline / "clips").rmdir()
    command = [sys.executable, "-m", "flows.reproduce", "--root", str(own_stub_pipeline)]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_HOME": str(prefect_home)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 1
    _, outcome = done.stdout.split("\nstage ", 1)
    lines = outcome.splitlines()
    assert lines[1].startswith("download       failed"), done.stdout
    assert "its command exited with 1: FileNotFoundError" in lines[1]
    assert lines[2].endswith("download failed")
    assert [line for line in lines[82:] if "Stopping temporary server" not in line] == [
        "",
        "Log of the failed download: .scratch/logs/download.log",
        "Full logs: .scratch/logs/STAGE.log for download",
        "",
        "failed: download",
    ]
    with contextlib.closing(sqlite3.connect(prefect_home / "prefect.db")) as database:
        states = database.execute("SELECT state_type, count(*) FROM task_run GROUP BY state_type").fetchall()
    assert dict(states) == {"COMPLETED": 81, "FAILED": 1}


def _trained_by(process: psutil.Process) -> list[str]:
    try:
        command = process.cmdline()
    except psutil.Error:
        return []
    return command[-1:] if "stub.py" in command and "train_gan" in command else []


def test_num_jobs_follows_the_setting_the_cores_and_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_params(ROOT / "params.yaml")
    machine: dict[str, Any] = {"free": 64, "cores": 6}
    monkeypatch.setattr(reproduce, "num_cores", lambda: machine["cores"])
    monkeypatch.setattr(reproduce, "available_bytes", lambda: machine["free"] * 2**30)

    def jobs(width: float = 0.25, **runtime: object) -> int:
        changes = {
            "runtime": params.runtime.model_copy(update={"device": "cpu", **runtime}),
            "train_gan": params.train_gan.model_copy(update={"width": width}),
        }
        return reproduce.num_jobs(params.model_copy(update=changes))

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
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (jobs(device="auto"), jobs()) == (1, 6)


@pytest.mark.slow
def test_num_cores_in_a_stage_is_its_share(tiny_repo: Path, edit: Callable[[Path, str, str], None]) -> None:
    code = "from pipeline.core.resources import num_cores; print(num_cores())"
    edit(tiny_repo / "dvc.yaml", "cat in.txt > prepared.txt", f"PYTHONPATH={ROOT} python -c '{code}' > prepared.txt")
    tasks.run_stage_task.fn(tiny_repo, "prepare", share=3)
    assert (tiny_repo / "prepared.txt").read_text() == "3\n"


@pytest.mark.slow
def test_task_states_carry_the_outcome(tiny_repo: Path) -> None:
    blocked = tasks.run_stage_task.fn(tiny_repo, "compare", blocked_by=["train@a"])
    assert (blocked.name, blocked.message) == ("Skipped", "compare: skipped (train@a failed)")
    assert tasks.run_stage_task.fn(tiny_repo, "prepare", reason="").name == "UpToDate"
    ran = tasks.run_stage_task.fn(tiny_repo, "prepare")
    assert (ran.name, ran.message) == ("Completed", "prepare: ran (has not run in this checkout)")
    failed = tasks.run_stage_task.fn(tiny_repo, "compare")  # its inputs are missing
    assert failed.is_failed()
    assert str(failed.message).startswith("compare: failed (")


def test_only_temporary_failures_are_retried() -> None:
    from prefect.states import Failed

    def retries(error: object) -> bool:
        return tasks.may_retry(None, None, Failed(data=error))  # type: ignore[arg-type]

    assert retries(dvc.TemporaryDvcError("busy"))
    assert not retries(dvc.DvcError("exit 1"))
    assert not retries(ValueError("bug"))
    assert not retries(StageResult("a", "failed", "", 0.0))


def test_only_a_comparison_of_this_run_is_published(tiny_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str] = []
    monkeypatch.setattr(tasks, "create_markdown_artifact", lambda markdown, **_: published.append(markdown))
    path = Layout(tiny_repo).comparison_path.with_suffix(".md")
    tasks.publish_comparison(tiny_repo, [StageResult("compare", "ran", "", 1.0)])  # comparison.md does not exist
    path.parent.mkdir(parents=True)
    path.write_text("# Comparison")
    outcomes: tuple[dvc.StageOutcome, ...] = ("up_to_date", "failed", "skipped", "ran")
    for outcome in outcomes:
        tasks.publish_comparison(tiny_repo, [StageResult("compare", outcome, "", 1.0)])
    assert published == ["# Comparison"]


@pytest.mark.parametrize(
    ("outcome", "is_shown"),
    [("ran", True), ("restored", True), ("up_to_date", True), ("failed", False), ("skipped", False)],
)
def test_the_summary_of_an_up_to_date_comparison_is_shown(
    tmp_path: Path, outcome: dvc.StageOutcome, is_shown: bool
) -> None:
    results = [StageResult("evaluate@a", "ran", "", 1.0), StageResult("compare", outcome, "", 1.0)]
    assert reproduce.comparison_summary(tmp_path, results) == ""  # summary.txt does not exist
    path = Layout(tmp_path).summary_path
    path.parent.mkdir(parents=True)
    path.write_text("- Best on LSE-D ↓\n")
    assert reproduce.comparison_summary(tmp_path, results) == ("\n- Best on LSE-D ↓\n" if is_shown else "")
    assert reproduce.comparison_summary(tmp_path, results[:1]) == ""


def test_a_terminal_without_the_signs_of_the_summary_gets_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Layout(tmp_path).summary_path
    path.parent.mkdir(parents=True)
    path.write_text("LSE-D ↓ 9.0\n")
    terminal = SimpleNamespace(encoding="latin-1", isatty=lambda: True)
    monkeypatch.setattr(reproduce.sys, "stdout", terminal)
    shown = reproduce.comparison_summary(tmp_path, [StageResult("compare", "up_to_date", "", 1.0)])
    assert shown == "\nLSE-D ? 9.0\n"


def test_a_terminal_breaks_the_findings_at_blanks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Layout(tmp_path).summary_path
    path.parent.mkdir(parents=True)
    path.write_text("- Best on LSE-D\n")
    monkeypatch.setattr(reproduce.sys, "stdout", SimpleNamespace(encoding="utf-8", isatty=lambda: True))
    monkeypatch.setenv("COLUMNS", "12")
    shown = reproduce.comparison_summary(tmp_path, [StageResult("compare", "up_to_date", "", 1.0)])
    assert shown == "\n- Best on\n  LSE-D\n"


@pytest.mark.slow
def test_plan_runs_nothing_and_needs_no_server(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "reproduce", None)
    files = sorted(own_stub_pipeline.iterdir())
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline), "--targets", "train_gan@lstm_cbam"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "stage                action  why",
        "download             run     has not run in this checkout",
        "train_gan@lstm_cbam  run     has not run in this checkout",
    ]
    assert sorted(own_stub_pipeline.iterdir()) == files


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], None),
        (["--targets", "a"], ["a"]),
        (["--targets", "a", "b", "c"], ["a", "b", "c"]),
        (["--targets", "a", "--targets", "b"], ["a", "b"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_targets_are_one_or_several_stages(
    arguments: list[str], wanted: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str] | None] = []
    monkeypatch.setattr(reproduce, "_checkout", lambda root: tmp_path)
    monkeypatch.setattr(reproduce, "plan_text", lambda root, targets: given.append(targets) or "")
    assert reproduce.main([*arguments, "--plan"]) == 0
    assert given == [wanted]


@pytest.mark.slow
def test_the_plan_reports_settings_that_stages_would_reject(
    own_stub_pipeline: Path, edit: Callable[[Path, str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline)]) == 0
    edit(own_stub_pipeline / "params.yaml", "confidence: 0.95", "confidence: 95")
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline)]) == 2
    assert "compare.confidence: Input should be less than 1 (given 95)" in capsys.readouterr().err


def test_a_source_without_a_folder_is_reported_before_a_flow_starts(
    own_stub_pipeline: Path, edit: Callable[[Path, str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(own_stub_pipeline / "params.yaml", "source: folder", "source: grid")
    for command in (reproduce.main, retrain.main):
        arguments = ["--plan"] if command is reproduce.main else []
        assert command([*arguments, "--root", str(own_stub_pipeline)]) == 2
        assert "params.yaml: dataset.grid.root is not set" in capsys.readouterr().err


def test_an_unknown_target_is_reported_before_a_flow_starts(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "reproduce", None)
    assert reproduce.main(["--root", str(own_stub_pipeline), "--targets", "trian"]) == 2
    assert "no stage 'trian'" in capsys.readouterr().err


def test_outcome_table_shows_the_first_line_of_a_reason() -> None:
    results = [StageResult("a", "ran", "in.txt modified", 1.25), StageResult("bb", "failed", "exit 1\nlong tail", 2)]
    assert reproduce.outcome_table(results).splitlines() == [
        "stage  outcome  took   reason",
        "a      ran      1.2 s  in.txt modified",
        "bb     failed   2.0 s  exit 1",
    ]
    assert reproduce.outcome_summary(results) == "1 ran, 1 failed"
