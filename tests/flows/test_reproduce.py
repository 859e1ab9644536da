"""The command line of ``flows.reproduce``. The Prefect task is called through ``.fn()``."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import yaml

from flows import dvc, reproduce, retrain, tasks
from flows.staleness import StaleReason
from flows.tasks import StageResult
from pipeline.core.layout import Layout

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_sigterm_ends_the_flow_and_its_parallel_stages(
    own_stub_pipeline: Path, two_long_trainings: Callable[[Path], None], prefect_home: Path
) -> None:
    """test_console.py has the same for Ctrl-C on a terminal."""
    two_long_trainings(own_stub_pipeline)
    command = [sys.executable, "-m", "flows.reproduce", "--root", str(own_stub_pipeline)]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_HOME": str(prefect_home)}
    flow = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
    )
    deadline = time.monotonic() + 300
    below: list[psutil.Process] = []
    while len({variant for process in below for variant in _trained_by(process)}) < 2:
        assert flow.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
        below = psutil.Process(flow.pid).children(recursive=True)
    flow.send_signal(signal.SIGTERM)
    assert flow.wait(timeout=60) == 128 + signal.SIGTERM
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


NUM_VARIANTS = 10


@pytest.mark.slow
def test_the_outcome_is_printed_last_and_the_server_has_recorded_every_task(
    own_stub_pipeline: Path, prefect_home: Path
) -> None:
    params = yaml.safe_load((own_stub_pipeline / "params.yaml").read_text())
    params["variants"] = {f"v{seed}": params["variants"]["lstm_cbam"] | {"seed": seed} for seed in range(NUM_VARIANTS)}
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
    assert lines[1].split()[:2] == ["download", "failed"], done.stdout
    assert "its command exited with 1: FileNotFoundError" in lines[1]
    assert lines[2].endswith("download failed")
    assert [line for line in lines[2 * NUM_VARIANTS + 2 :] if "Stopping temporary server" not in line] == [
        "",
        "Log of the failed download: .scratch/logs/download.log",
        "Full logs: .scratch/logs/STAGE.log for download",
        "",
        "failed: download",
    ]
    with contextlib.closing(sqlite3.connect(prefect_home / "prefect.db")) as database:
        states = database.execute("SELECT state_type, count(*) FROM task_run GROUP BY state_type").fetchall()
    assert dict(states) == {"COMPLETED": 2 * NUM_VARIANTS + 1, "FAILED": 1}


def _trained_by(process: psutil.Process) -> list[str]:
    try:
        command = process.cmdline()
    except psutil.Error:
        return []
    return command[-1:] if "stub.py" in command and "train_gan" in command else []


@pytest.mark.slow
def test_num_cores_in_a_stage_is_its_share(tiny_repo: Path, edit: Callable[[Path, str, str], None]) -> None:
    code = "from pipeline.core.resources import num_cores; print(num_cores())"
    edit(tiny_repo / "dvc.yaml", "cat in.txt > prepared.txt", f"PYTHONPATH={ROOT} python -c '{code}' > prepared.txt")
    tasks.run_stage_task.fn(tiny_repo, "prepare", num_cores=3)
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


@pytest.mark.parametrize(
    ("why", "is_upgrade"),
    [(StaleReason(True, ("faces.track",)), True), (StaleReason(others=("changed command",)), False)],
)
def test_the_plan_of_an_upgrade_names_how_to_keep_the_results(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: StaleReason, is_upgrade: bool
) -> None:
    monkeypatch.setattr(reproduce, "_graph", lambda root, targets: reproduce.dvc.StageGraph({"compare": ()}))
    monkeypatch.setattr(reproduce.staleness, "read_reasons", lambda root: {"compare": why})
    last = reproduce.plan_text(tmp_path, None).splitlines()[-1]
    assert ("docs/operations.md#upgrading" in last) is is_upgrade
    assert last.casefold().endswith("run them: python -m flows.reproduce")


@pytest.mark.slow
def test_plan_runs_nothing_and_needs_no_server(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "reproduce", None)
    files = sorted(own_stub_pipeline.iterdir())
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline), "--targets", "train_gan@lstm_cbam"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "stage                action  last took  why",
        "download             run     -          has not run in this checkout",
        "train_gan@lstm_cbam  run     -          has not run in this checkout",
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
    monkeypatch.setattr(reproduce, "find_root", lambda root: tmp_path)
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


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("weights: judge-1", "weights: judge1", r"evaluate\.lse\.weights is judge1, .* it must be judge-1, null, or"),
        ("pairs: null", "pairs: pairs.txt", r"evaluate\.pairs is pairs\.txt, and there is no such file"),
    ],
)
def test_a_file_that_does_not_exist_is_reported_before_a_flow_starts(
    own_stub_pipeline: Path,
    edit: Callable[[Path, str, str], None],
    capsys: pytest.CaptureFixture[str],
    before: str,
    after: str,
    message: str,
) -> None:
    edit(own_stub_pipeline / "params.yaml", before, after)
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_source_without_a_folder_is_reported_before_a_flow_starts(
    own_stub_pipeline: Path, edit: Callable[[Path, str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(own_stub_pipeline / "params.yaml", "source: folder", "source: grid")
    for command in (reproduce.main, retrain.main):
        arguments = ["--plan"] if command is reproduce.main else []
        assert command([*arguments, "--root", str(own_stub_pipeline)]) == 2
        assert "params.yaml: dataset.grid.root is not set" in capsys.readouterr().err


def test_clips_among_the_outputs_are_reported_before_a_flow_starts(
    own_stub_pipeline: Path, edit: Callable[[Path, str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(own_stub_pipeline / "params.yaml", f"root: {own_stub_pipeline / 'clips'}", "root: data/clips")
    assert reproduce.main(["--plan", "--root", str(own_stub_pipeline)]) == 2
    assert "dataset.folder.root is data/clips" in capsys.readouterr().err


def test_an_unknown_target_is_reported_before_a_flow_starts(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "reproduce", None)
    assert reproduce.main(["--root", str(own_stub_pipeline), "--targets", "trian"]) == 2
    assert "no stage 'trian'" in capsys.readouterr().err


def test_outcome_table_shows_the_first_line_of_a_reason_and_the_duration_before() -> None:
    results = [
        StageResult("a", "ran", "in.txt modified", 1.25, last_seconds=61),
        StageResult("bb", "failed", "exit 1\nlong tail", 2),
    ]
    assert reproduce.outcome_table(results).splitlines() == [
        "stage  outcome  took  last took  reason",
        "a      ran      0:01  1:01       in.txt modified",
        "bb     failed   0:02  -          exit 1",
    ]
    assert reproduce.outcome_summary(results) == "1 ran, 1 failed"
