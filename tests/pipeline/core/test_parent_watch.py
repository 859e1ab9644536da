"""No process lives on after the process that started it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.core import parent_watch
from pipeline.core.parent_watch import is_alive, up_to_dvc

ROOT = Path(__file__).resolve().parents[3]
STAGE = """
import os, subprocess, sys, time
from pathlib import Path
from pipeline.core import parent_watch
from pipeline.core.signals import exit_on_signals

class SlowToFree:
    def __del__(self, sleep=time.sleep):
        sleep(300)

parent_watch.POLL_S, parent_watch.ORPHAN_GRACE_S, parent_watch.LAST_S = 0.05, 0.3, 0.3
if "slow" in sys.argv:
    slow = SlowToFree()
if "stubborn" not in sys.argv:
    exit_on_signals()
else:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
parent_watch.{watch}()
child = subprocess.Popen(["sleep", "300"])
print(os.getpid(), child.pid, flush=True)
try:
    time.sleep(300)
finally:
    child.kill()
    Path("unwound").touch()
"""
DVC = """
import subprocess, sys, os
os.environ["DVC_STAGE"] = "train"
words = " ".join(["python stage.py", *sys.argv[1:]])
subprocess.run(["sh", "-c", f"{words}; true"])
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Start a script named like DVC, or ``other``, that runs a stage in a shell. Returns it and its descendants."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started: list[psutil.Process] = []

    def make(name: str = "dvc", *options: str, watch: str = "end_with_dvc"):
        (tmp_path / name).write_text(DVC)
        (tmp_path / "stage.py").write_text(STAGE.replace("{watch}", watch))
        command = [sys.executable, name, *options]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        below = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        started.extend([psutil.Process(process.pid), *below])
        return process, below

    yield make
    for process in started:
        if is_alive(process):
            process.kill()


def wait_for_end(processes: list[psutil.Process], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stage_ends_after_its_dvc_was_killed_although_a_shell_is_between(tmp_path: Path, start) -> None:
    process, below = start()
    process.kill()
    process.wait()
    wait_for_end(below)
    assert (tmp_path / "unwound").is_file()  # SIGTERM came first


def test_a_stage_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path, start) -> None:
    process, below = start("dvc", "stubborn")
    process.kill()
    process.wait()
    wait_for_end(below)
    assert not (tmp_path / "unwound").exists()


def test_a_stage_ends_in_time_although_python_frees_its_modules_slowly(tmp_path: Path, start) -> None:
    process, below = start("dvc", "slow")
    process.kill()
    process.wait()
    wait_for_end(below)
    assert (tmp_path / "unwound").is_file()


def test_a_stage_that_was_started_by_hand_outlives_its_terminal(
    tmp_path: Path, start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, below = start("other")
    stage = below[0]
    shell = stage.parent()
    assert shell is not None and up_to_dvc(stage.parents()) == [shell]
    process.kill()
    process.wait()
    time.sleep(0.5)
    assert is_alive(stage)
    stage.send_signal(signal.SIGTERM)


def test_dvc_is_found_as_a_program_and_as_a_module(start) -> None:
    class Named:
        def __init__(self, *words: str) -> None:
            self.words = words

        def cmdline(self) -> list[str]:
            return list(self.words)

    shell, flow = Named("sh", "-c", "python -m pipeline.stages.dvc"), Named("python", "-m", "flows.reproduce")
    for dvc in (
        Named("python", "-m", "dvc", "repro"),
        Named("/usr/bin/python", "/venv/bin/dvc", "repro"),
        Named("dvc"),
    ):
        assert up_to_dvc([shell, dvc, flow]) == [shell, dvc]  # type: ignore[list-item]
    assert up_to_dvc([shell, flow]) == [shell]  # type: ignore[list-item]


POOL = """
import os, time
from pipeline.core.worker_pool import worker_pool

def nothing(): pass

if __name__ == "__main__":
    with worker_pool(2, nothing) as pool:
        print(*{pool.submit(os.getpid).result() for _ in range(8)}, flush=True)
        time.sleep(300)
"""


def test_workers_of_a_pool_end_after_their_process_was_killed(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    environment = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "pool.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        below = psutil.Process(process.pid).children(recursive=True)
        assert workers
        process.kill()
        process.wait()
    wait_for_end([*workers, *below], parent_watch.ORPHAN_GRACE_S + 20)
