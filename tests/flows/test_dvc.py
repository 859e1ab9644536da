"""The graph, reasons, outcomes and failures of DVC, on a real repository of shell stages."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows import dvc, staleness
from flows.staleness import StaleReason
from pipeline.core.errors import UserError

Edit = Callable[[Path, str, str], None]


def run_all(root: Path) -> dict[str, str]:
    stages = [stage for wave in dvc.read_graph(root).waves() for stage in wave]
    return {stage: dvc.run_stage(root, stage, lambda line: None) for stage in stages}


def test_graph_waves_and_restriction() -> None:
    graph = dvc.parse_dag(
        'strict digraph {\n"a";\n"b@x";\n"b@y";\n"c";\n"d";\n'
        '"a" -> "b@x";\n"a" -> "b@y";\n"b@x" -> "c";\n"b@y" -> "c";\n"a" -> "c";\n}\n'
    )
    assert graph.upstream["c"] == ("b@x", "b@y", "a")
    assert graph.waves() == [["a", "d"], ["b@x", "b@y"], ["c"]]
    assert list(graph.restricted_to(["b@y"]).upstream) == ["a", "b@y"]
    assert list(graph.restricted_to(["b"]).upstream) == ["a", "b@x", "b@y"]
    with pytest.raises(UserError, match=r"no stage 'e' .* a, b@x, b@y, c, d"):
        graph.restricted_to(["e"])


def test_the_graph_is_read_again_only_after_an_edit(
    tiny_repo: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(dvc, "query", lambda root, *_: read.append(root) or '"prepare";')
    for name, text in (("dvc.yaml", "in.txt"), ("params.yaml", "seed: 1")):
        assert dvc.read_graph(tiny_repo) == dvc.read_graph(tiny_repo) == dvc.StageGraph({"prepare": ()})
        edit(tiny_repo / name, text, f"{text}0")
    dvc.read_graph(tiny_repo)
    assert len(read) == 3


def test_a_cycle_is_an_error() -> None:
    with pytest.raises(dvc.DvcError, match="cycle"):
        dvc.StageGraph({"a": ("b",), "b": ("a",)}).waves()


@pytest.mark.slow
def test_stages_run_then_are_up_to_date_then_are_restored(tiny_repo: Path, edit: Edit) -> None:
    graph = dvc.read_graph(tiny_repo)
    assert graph.waves() == [["prepare"], ["train@a", "train@b"], ["compare"]]
    assert set(map(str, staleness.read_reasons(tiny_repo).values())) == {"has not run in this checkout"}
    assert run_all(tiny_repo) == dict.fromkeys(graph.upstream, "ran")
    assert staleness.read_reasons(tiny_repo) == {}

    edit(tiny_repo / "params.yaml", "width: 2", "width: 3")  # one variant
    others = ("parameter variants.b modified", "changed command")
    assert staleness.read_reasons(tiny_repo) == {"train@b": StaleReason(others=others)}
    expected = {"prepare": "up_to_date", "train@a": "up_to_date", "train@b": "ran", "compare": "ran"}
    assert run_all(tiny_repo) == expected

    edit(tiny_repo / "params.yaml", "width: 3", "width: 2")  # this value is in DVC's run cache
    assert run_all(tiny_repo) == expected | {"train@b": "restored", "compare": "restored"}


@pytest.mark.parametrize(
    ("lines", "retry", "cause"),
    [
        (["ERROR: failed to reproduce 's': '/r/o' is busy, it is being blocked by:", "  (PID 1): dvc"], True, "busy"),
        (["ERROR: Unable to acquire lock. Most likely another DVC process is running"], True, "Unable"),
        (["ERROR: failed to reproduce 's': failed to run: x, exited with 75"], True, "command exited with 75"),
        (["ERROR: failed to reproduce 's': failed to run: a", "b, exited with 75"], True, "command exited with 75"),
        (["ERROR: failed to reproduce 's': failed to run: x, exited with 1"], False, "command exited with 1"),
        (
            ["Traceback (most recent call last):", "ERROR: failed to reproduce 's': failed to run: x, exited with 75"],
            False,
            "command exited with 75",
        ),
        (["Unable to acquire lock, printed by the stage itself", "x, exited with 75"], False, "dvc exited with 255"),
        (["Killed"], False, "dvc exited with 255"),
    ],
)
def test_only_locks_and_exit_code_75_are_temporary(lines: list[str], retry: bool, cause: str) -> None:
    output = dvc.ReproOutput("s")
    for line in ["Running stage 's':", *lines]:
        output.add(line)
    with pytest.raises(dvc.DvcError, match=cause) as caught:
        output.outcome(255)
    assert isinstance(caught.value, dvc.TemporaryDvcError) is retry
    assert lines[-1] in str(caught.value)


FAILED = "ERROR: failed to reproduce 's': failed to run: x, exited with 2"


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (
            ["12:00:00 pipeline.stage: s@a: near chance", "train longer", FAILED],
            "its command exited with 2: near chance",
        ),
        (
            ["Traceback (most recent call last):", "KeyError: 'a'", "", FAILED],
            "its command exited with 2: KeyError: 'a'",
        ),
        (["> x", FAILED], "its command exited with 2"),
        (
            ["gone", "ERROR: failed to reproduce 's': failed to run: a", "b, exited with 2"],
            "its command exited with 2: gone",
        ),
    ],
)
def test_an_error_starts_with_the_message_of_the_stage(lines: list[str], cause: str) -> None:
    output = dvc.ReproOutput("s")
    for line in ["Running stage 's':", *lines]:
        output.add(line)
    with pytest.raises(dvc.DvcError) as caught:
        output.outcome(255)
    assert str(caught.value).split("\n")[0] == cause


@pytest.mark.slow
def test_exit_code_75_is_temporary_and_exit_code_1_is_not(tiny_repo: Path, edit: Edit) -> None:
    edit(tiny_repo / "dvc.yaml", "cat in.txt > prepared.txt", "exit 75")
    with pytest.raises(dvc.TemporaryDvcError, match="exited with 75"):
        dvc.run_stage(tiny_repo, "prepare", lambda line: None)
    edit(tiny_repo / "dvc.yaml", "exit 75", "echo the reason; exit 1")
    with pytest.raises(dvc.DvcError, match=r"exited with 1: the reason\n(.*\n)*the reason") as caught:
        dvc.run_stage(tiny_repo, "prepare", lambda line: None)
    assert not isinstance(caught.value, dvc.TemporaryDvcError)


@pytest.mark.slow
def test_a_held_lock_is_temporary(tiny_repo: Path, edit: Edit) -> None:
    edit(tiny_repo / "dvc.yaml", "cat in.txt >", "touch started; sleep 30; cat in.txt >")
    other = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q", "-s", "prepare"], cwd=tiny_repo)
    try:
        wait_for((tiny_repo / "started").exists)
        with pytest.raises(dvc.TemporaryDvcError, match="is busy"):
            dvc.run_stage(tiny_repo, "prepare", lambda line: None)
        with pytest.raises(dvc.TemporaryDvcError, match="another DVC process is running"):
            staleness.read_reasons(tiny_repo)
    finally:
        family = [*psutil.Process(other.pid).children(recursive=True), psutil.Process(other.pid)]
        for process in family:
            process.kill()
        other.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "line",
    [
        "Updating lock file 'dvc.lock'",
        "To track the changes with git, run:",
        "\tgit add dvc.lock artifacts/.gitignore",
        "To enable auto staging, run:",
        "\tdvc config core.autostage true",
        "Use `dvc push` to send your updates to remote storage.",
        "",
        "  ",
    ],
)
def test_advice_of_dvc_is_a_hint(line: str) -> None:
    assert dvc.is_hint(line)


@pytest.mark.parametrize("line", ["Running stage 'a':", "> python -m pipeline.stages.a", "ERROR: git add failed"])
def test_what_dvc_says_about_the_stage_is_no_hint(line: str) -> None:
    assert not dvc.is_hint(line)


@pytest.mark.slow
def test_the_installed_dvc_prints_its_advice_in_the_known_words(tiny_repo: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tiny_repo, check=True)
    (tiny_repo / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    lines: list[str] = []
    dvc.run_stage(tiny_repo, "prepare", lines.append)
    shown = [line for line in lines if not dvc.is_hint(line)]
    assert len(shown) < len(lines)
    assert shown == ["Running stage 'prepare':", "> cat in.txt > prepared.txt"]
