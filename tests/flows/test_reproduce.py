"""Walking the graph, and what the command line says; the Prefect task is called through ``.fn()``."""

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
from pipeline.core.resources import Limits
from pipeline.params import load_params

ROOT = Path(__file__).resolve().parents[2]
GRAPH = dvc.StageGraph({"a": (), "b": ("a",), "c": ("a",), "d": ("b",), "e": ("c", "d")})
ALONE = dict.fromkeys("abcdefgh", 1)


def walk(reasons: dict[str, str], outcomes: dict[str, dvc.StageOutcome]) -> tuple[dict[str, str], list[str]]:
    """Outcomes, and the stages that were not declared clean."""
    asked: list[str] = []

    def run(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
        if blocked_by:
            return StageResult(stage, "skipped", ", ".join(blocked_by), 0.0)
        if reason == "":
            return StageResult(stage, "up_to_date", "", 0.0)
        asked.append(stage)
        return StageResult(stage, outcomes.get(stage, "ran"), "", 0.0)

    return {r.stage: r.outcome for r in reproduce.walk(GRAPH, reasons, run, most_jobs=1, shares=ALONE)}, asked


def test_a_clean_repository_asks_dvc_nothing() -> None:
    outcomes, asked = walk({}, {})
    assert set(outcomes.values()) == {"up_to_date"}
    assert asked == []


def test_only_what_lies_after_a_change_is_asked() -> None:
    outcomes, asked = walk({"b": "changed"}, {"d": "up_to_date"})
    assert asked == ["b", "d"]  # e's inputs did not change, as d turned out the same
    assert outcomes["e"] == "up_to_date"


def test_a_failure_skips_what_depends_on_it_and_nothing_else() -> None:
    outcomes, asked = walk(dict.fromkeys("abcde", "new"), {"b": "failed"})
    assert outcomes == {"a": "ran", "b": "failed", "c": "ran", "d": "skipped", "e": "skipped"}
    assert asked == ["a", "b", "c"]


def test_what_is_skipped_is_told_which_stages_failed_not_which_were_skipped() -> None:
    told: dict[str, list[str]] = {}

    def run(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
        told[stage] = blocked_by
        outcome: dvc.StageOutcome = "skipped" if blocked_by else "failed" if stage in "bc" else "ran"
        return StageResult(stage, outcome, "", 0.0)

    reproduce.walk(GRAPH, dict.fromkeys("abcde", "new"), run, most_jobs=1, shares=ALONE)
    assert told == {"a": [], "b": [], "c": [], "d": ["b"], "e": ["c", "b"]}


def test_independent_stages_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=20)  # broken unless b and c run at the same time
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


def test_no_more_stages_than_jobs_run_at_once() -> None:
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


def test_stages_of_one_wave_share_the_cores_equally_whatever_else_runs() -> None:
    assert reproduce.shares_of(GRAPH, most_jobs=4, cores=6) == {"a": 6, "b": 3, "c": 3, "d": 6, "e": 6}
    assert set(reproduce.shares_of(GRAPH, most_jobs=1, cores=6).values()) == {6}
    assert set(reproduce.shares_of(dvc.StageGraph(dict.fromkeys("abc", ())), most_jobs=3, cores=2).values()) == {1}


def test_what_ends_the_walk_ends_commands_that_run_and_those_about_to_start(tmp_path: Path) -> None:
    graph = dvc.StageGraph({"running": (), "starting": (), "bug": ()})
    pid_path, late_path = tmp_path / "pid", tmp_path / "late"
    seen: list[str] = []

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
            seen.append(stage)
            raise
        return StageResult(stage, "ran", "", 0.0)

    with pytest.raises(ZeroDivisionError):
        reproduce.walk(
            graph, dict.fromkeys(graph.upstream, "new"), run, most_jobs=3, shares=dict.fromkeys(graph.upstream, 1)
        )
    assert sorted(seen) == ["running", "starting"]
    assert not psutil.pid_exists(int(pid_path.read_text()))
    assert not late_path.exists()


@pytest.mark.parametrize("ends_with", [signal.SIGTERM, signal.SIGINT])
def test_what_ends_a_flow_leaves_none_of_the_stages_that_ran_at_once(
    own_stub_pipeline: Path, tmp_path: Path, ends_with: signal.Signals
) -> None:
    params = yaml.safe_load((own_stub_pipeline / "params.yaml").read_text())
    params["variants"] = {name: params["variants"]["lstm_cbam"] | {"seed": seed} for seed, name in enumerate("ab")}
    params["promote"]["variant"] = "a"
    params["runtime"]["num_jobs"] = 2
    (own_stub_pipeline / "params.yaml").write_text(yaml.safe_dump(params))
    (own_stub_pipeline / "quality.json").write_text(json.dumps({"lse_d": 8.0, "fid": 20.0, "sleep_s": 300}))
    command = [sys.executable, "-m", "flows.reproduce", "--root", str(own_stub_pipeline)]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_HOME": str(tmp_path)}
    log = (tmp_path / "log").open("w+")
    flow = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    deadline = time.monotonic() + 90
    below: list[psutil.Process] = []
    while len({variant for process in below for variant in _trained_by(process)}) < 2:
        assert flow.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
        below = psutil.Process(flow.pid).children(recursive=True)
    if ends_with == signal.SIGINT:  # Ctrl-C reaches the stages, too
        os.killpg(flow.pid, ends_with)
    else:
        flow.send_signal(ends_with)
    assert flow.wait(timeout=60) == 128 + ends_with
    if ends_with == signal.SIGINT:
        log.seek(0)
        assert "Stopping; the same command will go on from here.\n" in log.read()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_the_outcome_stands_last_and_the_server_has_recorded_every_task(
    own_stub_pipeline: Path, tmp_path: Path
) -> None:
    params = yaml.safe_load((own_stub_pipeline / "params.yaml").read_text())
    params["variants"] = {f"v{seed}": params["variants"]["lstm_cbam"] | {"seed": seed} for seed in range(40)}
    params["promote"]["variant"] = "v0"
    (own_stub_pipeline / "params.yaml").write_text(yaml.safe_dump(params))
    (own_stub_pipeline / "clips" / "a.mp4").unlink()
    (own_stub_pipeline / "clips").rmdir()
    command = [sys.executable, "-m", "flows.reproduce", "--root", str(own_stub_pipeline)]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 1
    _, outcome = done.stdout.split("\nstage ", 1)
    lines = outcome.splitlines()
    assert lines[1].startswith("download       failed"), done.stdout
    assert "its command exited with 1: FileNotFoundError" in lines[1]
    assert lines[2].endswith("download failed")
    assert [line for line in lines[82:] if "Stopping temporary server" not in line] == ["failed: download"]
    with contextlib.closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        states = database.execute("SELECT state_type, count(*) FROM task_run GROUP BY state_type").fetchall()
    assert dict(states) == {"COMPLETED": 81, "FAILED": 1}


def _trained_by(process: psutil.Process) -> list[str]:
    try:
        command = process.cmdline()
    except psutil.Error:
        return []
    return command[-1:] if "stub.py" in command and "train_gan" in command else []


def test_how_many_stages_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_params(ROOT / "params.yaml")
    machine: dict[str, Any] = {"free": 64, "cores": 6, "limits": Limits(None, None)}
    monkeypatch.setattr(reproduce, "num_cores", lambda: machine["cores"])
    monkeypatch.setattr(reproduce, "cgroup_limits", lambda: machine["limits"])
    monkeypatch.setattr(reproduce.psutil, "virtual_memory", lambda: SimpleNamespace(available=machine["free"] * 2**30))

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
    machine |= {"cores": 6, "limits": Limits(7 * 2**30, None)}
    assert jobs() == 3
    assert jobs(width=1) == 1
    machine |= {"free": 5, "limits": Limits(None, None)}
    assert jobs() == 2
    machine["free"] = 1
    assert jobs() == 1
    machine["free"] = 64
    assert jobs(device="cuda") == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (jobs(device="auto"), jobs()) == (1, 6)


def test_a_stage_knows_its_share(tiny_repo: Path, edit: Callable[[Path, str, str], None]) -> None:
    code = "from pipeline.core.resources import num_cores; print(num_cores())"
    edit(tiny_repo / "dvc.yaml", "cat in.txt > prepared.txt", f"PYTHONPATH={ROOT} python -c '{code}' > prepared.txt")
    tasks.run_stage_task.fn(tiny_repo, "prepare", share=3)
    assert (tiny_repo / "prepared.txt").read_text() == "3\n"


def test_task_states_carry_the_outcome(tiny_repo: Path) -> None:
    blocked = tasks.run_stage_task.fn(tiny_repo, "compare", blocked_by=["train@a"])
    assert (blocked.name, blocked.message) == ("Skipped", "compare: skipped (train@a failed)")
    assert tasks.run_stage_task.fn(tiny_repo, "prepare", reason="").name == "UpToDate"
    ran = tasks.run_stage_task.fn(tiny_repo, "prepare")
    assert (ran.name, ran.message) == ("Completed", "prepare: ran (never ran here)")
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


def test_a_comparison_of_this_run_is_published_and_an_old_one_is_not(
    tiny_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    monkeypatch.setattr(tasks, "create_markdown_artifact", lambda markdown, **_: published.append(markdown))
    path = Layout(tiny_repo).comparison_path.with_suffix(".md")
    tasks.publish_comparison(tiny_repo, [StageResult("compare", "ran", "", 1.0)])  # a graph without that table
    path.parent.mkdir(parents=True)
    path.write_text("# Comparison")
    outcomes: tuple[dvc.StageOutcome, ...] = ("up_to_date", "failed", "skipped", "ran")
    for outcome in outcomes:
        tasks.publish_comparison(tiny_repo, [StageResult("compare", outcome, "", 1.0)])
    assert published == ["# Comparison"]


def test_plan_runs_nothing_and_needs_no_server(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "reproduce", None)
    files = sorted(own_stub_pipeline.iterdir())
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline), "--targets", "train_gan@lstm_cbam"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "stage                action  why",
        "download             run     never ran here",
        "train_gan@lstm_cbam  run     never ran here",
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
    seen: list[list[str] | None] = []
    monkeypatch.setattr(reproduce, "_checkout", lambda root: tmp_path)
    monkeypatch.setattr(reproduce, "plan_text", lambda root, targets: seen.append(targets) or "")
    assert reproduce.main([*arguments, "--plan"]) == 0
    assert seen == [wanted]


def test_settings_that_stages_would_refuse_are_told_by_the_plan(
    own_stub_pipeline: Path, edit: Callable[[Path, str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline)]) == 0
    edit(own_stub_pipeline / "params.yaml", "confidence: 0.95", "confidence: 95")
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline)]) == 2
    assert "compare.confidence: Input should be less than 1 (given 95)" in capsys.readouterr().err


def test_clips_that_nothing_says_where_to_find_are_told_by_the_plan(
    own_stub_pipeline: Path, edit: Callable[[Path, str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(own_stub_pipeline / "params.yaml", "source: folder", "source: grid")
    for command in (reproduce.main, retrain.main):
        arguments = ["--plan"] if command is reproduce.main else []
        assert command([*arguments, "--root", str(own_stub_pipeline)]) == 2
        assert "params.yaml: dataset.grid.root is not set" in capsys.readouterr().err


def test_an_unknown_target_is_told_before_anything_starts(
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
