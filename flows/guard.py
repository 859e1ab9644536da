"""The guard of a flow: a process that ends what a killed flow leaves behind.

SIGKILL gives a flow no chance to end its temporary server, DVC and the stages. The guard holds the read end of a pipe
whose write end only the flow's process holds. When the flow has ended in any way, the guard ends every process that
inherited the flow's mark, a variable of the environment.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import uuid
from contextlib import suppress

import psutil

from pipeline.core.layout import CODE_ROOT

MARK_VARIABLE = "LIPSMITH_FLOW_MARK"
_MOST_ROUNDS = 3
_STOP_S = 5.0
_GUARD = "import sys; from flows.guard import end_marked; sys.stdin.buffer.read(); end_marked(sys.argv[1])"

_guards: dict[int, subprocess.Popen[bytes]] = {}
"""Process id -> the guard of that process. A forked process does not own the guard of its parent."""


def start_guard() -> None:
    """Start the guard of this process, unless it has one. Processes that are started later carry the mark."""
    if os.getpid() in _guards:
        return
    mark = os.environ[MARK_VARIABLE] = uuid.uuid4().hex
    _guards[os.getpid()] = subprocess.Popen(
        [sys.executable, "-c", _GUARD, mark],
        cwd=CODE_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C and a killed process group do not reach it
    )
    atexit.register(stop_guard)


def stop_guard() -> None:
    """End the guard of this process, which first ends the processes that are left. Waits for it at most `_STOP_S`."""
    guard = _guards.pop(os.getpid(), None)
    if guard is None or guard.stdin is None:
        return
    guard.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        guard.wait(_STOP_S)


def is_guard(process: psutil.Process) -> bool:
    """Whether a process is the guard of this process."""
    own = _guards.get(os.getpid())
    return own is not None and process.pid == own.pid


def marked_processes(mark: str) -> list[psutil.Process]:
    """The processes, except this one, whose environment has the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            is_marked = process.environ().get(MARK_VARIABLE) == mark
        except (psutil.Error, OSError):
            continue  # another user's, or already ended
        if is_marked and process.pid != os.getpid():
            found.append(process)
    return found


def end_marked(mark: str) -> None:
    """End every process with the mark: SIGTERM first, then SIGKILL."""
    from flows.processes import end_processes  # which imports this module

    for _ in range(_MOST_ROUNDS):
        found = marked_processes(mark)
        if not found:
            return
        end_processes(found)
