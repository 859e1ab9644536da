"""However a command ends, no process of its tree is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows import processes

CHILD = "import subprocess, time; print(subprocess.Popen(['sleep', '300']).pid, flush=True); "
ROOT = Path(__file__).resolve().parents[2]


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_lines_and_exit_code(tmp_path: Path) -> None:
    code = "import os, sys; print('one'); print('1%\\r50%\\r100%', file=sys.stderr); print(os.getcwd()); sys.exit(7)"
    lines: list[str] = []
    assert processes.stream([sys.executable, "-c", code], tmp_path, lines.append) == 7
    assert sorted(lines) == sorted(["one", "100%", str(tmp_path)])


def test_python_is_this_interpreter(tmp_path: Path) -> None:
    lines: list[str] = []
    processes.stream(["sh", "-c", "python -c 'import sys; print(sys.prefix)'"], tmp_path, lines.append)
    assert lines == [sys.prefix]


def test_an_exception_ends_children_and_grandchildren(tmp_path: Path) -> None:
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.stream([sys.executable, "-c", CHILD + "time.sleep(300)"], tmp_path, stop)
    assert len(pids) == 1
    assert has_ended(pids[0])


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.5)
    code = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(300)"
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.stream([sys.executable, "-c", code], tmp_path, stop)
    assert has_ended(pids[0])


@pytest.mark.slow
def test_an_orphan_of_an_ended_command_is_ended(tmp_path: Path) -> None:
    """The command ends by itself. Its child holds the pipe open, which must not delay the caller."""
    lines: list[str] = []
    started = time.monotonic()
    code = CHILD + "time.sleep(0.8); import os; os._exit(9)"
    assert processes.stream([sys.executable, "-c", code], tmp_path, lines.append) == 9
    assert time.monotonic() - started < 20
    assert has_ended(int(lines[0]))


@pytest.mark.slow
def test_sigterm_to_the_caller_ends_the_stage(tiny_repo: Path) -> None:
    """The caller runs the stage through `run_flow_command`, as the flows' command lines do."""
    text = (tiny_repo / "dvc.yaml").read_text()
    stage = "sh -c 'echo $$ > pid; sleep 300 & echo $! >> pid; wait'"
    (tiny_repo / "dvc.yaml").write_text(text.replace("cat in.txt > prepared.txt", stage))
    code = (
        "import sys; from pathlib import Path; from flows import dvc; from flows.command import run_flow_command\n"
        f"body = lambda: dvc.run_stage(Path({str(tiny_repo)!r}), 'prepare', print)\n"
        "sys.exit(run_flow_command(body))"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    pid_path = tiny_repo / "pid"
    deadline = time.monotonic() + 30
    while not (pid_path.is_file() and len(pid_path.read_text().split()) == 2):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    below = psutil.Process(caller.pid).children(recursive=True)
    caller.send_signal(signal.SIGTERM)
    assert caller.wait(timeout=30) == 128 + signal.SIGTERM
    assert len(below) >= 3  # dvc, the shell, sleep
    assert all(has_ended(pid) for pid in [*(p.pid for p in below), *map(int, pid_path.read_text().split())])


def test_everything_ends_and_no_thread_starts_another_command() -> None:
    """Runs in a separate process, since no command can start in it afterwards."""
    code = """
import sys, threading, time, psutil
from pathlib import Path
from flows import processes

def work():
    try:
        while True:
            processes.stream(["sleep", "0.05"], Path(), print)
    except processes.CommandEndedError:
        sys.stdout.write("ended\\n")

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
time.sleep(0.3)
processes.end_everything()
print(len(psutil.Process().children(recursive=True)))
for thread in threads:
    thread.join(10)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert sorted(done.stdout.split()) == ["0", *["ended"] * 4]
