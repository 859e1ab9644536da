"""A flow that is killed leaves no process behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from pipeline.core.parent_watch import is_alive

ROOT = Path(__file__).resolve().parents[2]
FLOW = """
import subprocess, sys, time
from flows import guard, processes

guard.start_guard()
guard.start_guard()
stage = subprocess.Popen(["sh", "-c", "sleep 300 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
server = subprocess.Popen(["sleep", "300"], start_new_session=True)
print(stage.pid, stage.stdout.readline().strip(), server.pid, flush=True)
{then}
"""


def start(then: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    command = [sys.executable, "-c", FLOW.format(then=then)]
    flow = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert flow.stdout is not None
    return flow, [psutil.Process(int(pid)) for pid in flow.stdout.readline().split()]


def wait_for_end(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 30
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigkill_of_the_flow_ends_its_stage_its_server_and_the_guard() -> None:
    flow, below = start("time.sleep(300)")
    guards = [p for p in psutil.Process(flow.pid).children() if "flows.guard" in " ".join(p.cmdline())]
    assert len(guards) == 1
    assert len(below) == 3
    flow.kill()
    flow.wait()
    wait_for_end([*below, *guards])


def test_the_end_of_all_children_does_not_wait_for_the_guard() -> None:
    """Ctrl-C waits some seconds for processes that end by themselves, which the guard never does."""
    then = "processes.end_children()\n"
    then += "started = time.monotonic(); processes.end_everything(); print(time.monotonic() - started, flush=True)\n"
    then += "print(guard.marked_processes('another'))"
    flow, below = start(then)
    assert flow.stdout is not None
    assert float(flow.stdout.readline()) < processes_wait_s()
    assert flow.stdout.readline() == "[]\n"
    assert flow.wait(timeout=30) == 0
    wait_for_end(below)


def processes_wait_s() -> float:
    from flows.processes import _KILL_WAIT_S

    return _KILL_WAIT_S
