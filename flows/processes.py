"""Running a command and ending its whole process tree with it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import IO

import psutil

from flows.guard import is_guard
from pipeline.core.errors import LipsmithError
from pipeline.core.parent_watch import is_alive

GRACE_S = 15.0
"""Seconds between SIGTERM and SIGKILL: enough for a stage to unwind, less than Prefect's own 30 s."""
_POLL_S = 0.25
_DRAIN_S = 2.0
_KILL_WAIT_S = 5.0
_MOST_ROUNDS = 5
ENDING_S = GRACE_S + 2 * _KILL_WAIT_S
"""Longest time in seconds that `stream` needs to end its command."""

_all_ended = threading.Event()
_ended_by: ContextVar[threading.Event | None] = ContextVar("_ended_by", default=None)


class CommandEndedError(LipsmithError):
    """`end_everything` or the event of `end_commands_by` ended the command or prevented its start."""


def stream(
    command: list[str],
    cwd: Path,
    on_line: Callable[[str], None],
    extra_env: Mapping[str, str] | None = None,
) -> int:
    """Run a command, call ``on_line`` for each line of its stdout and stderr, return its exit code.

    When the call returns or raises, every process of the command's tree has ended, orphans included. This also holds
    after an exception in ``on_line`` and after a signal whose handler raises. The command stays in the caller's process
    group. If carriage returns redraw a line, such as a progress bar, ``on_line`` gets its last state only. Raises
    CommandEndedError if the event of `end_commands_by` is set.
    """
    _raise_if_ended()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=_environment(extra_env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    tree = _ProcessTree(process.pid)
    try:
        assert process.stdout is not None
        _pass_on_lines(process, _read_in_thread(process.stdout), on_line, tree)
        return process.wait()
    finally:
        tree.end()
        process.poll()


def end_commands_by(event: threading.Event) -> None:
    """Let an event end the commands of this thread: once it is set, `stream` ends its command and starts no other."""
    _ended_by.set(event)


def _raise_if_ended() -> None:
    event = _ended_by.get()
    if _all_ended.is_set() or (event is not None and event.is_set()):
        raise CommandEndedError("the command was ended because its flow ended")


def end_children(spared: int | None = None) -> None:
    """End every descendant process except the guard: SIGTERM first, SIGKILL after `GRACE_S`.

    ``spared``: id of a process that is left to run with its descendants.
    """
    kept = _with_descendants([psutil.Process(spared)]) if spared is not None and psutil.pid_exists(spared) else set()
    end_processes(process for process in _descendants() if process not in kept)


def end_everything() -> None:
    """Like `end_children`; afterwards `stream` starts no command in any thread."""
    _all_ended.set()
    _wait(_descendants(), _KILL_WAIT_S)  # Ctrl-C reached them too: let them log it
    for _ in range(_MOST_ROUNDS):
        end_children()
        time.sleep(2 * _POLL_S)  # after this, a command that was just starting is listed, or its thread has ended it
        if not _descendants():
            return


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """The environment of a command: ``python`` is this interpreter, and Python's output is unbuffered."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **(extra or {})}


def _read_in_thread(pipe: IO[bytes]) -> queue.Queue[str | None]:
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for raw in pipe:
            lines.put(raw.decode(errors="replace").rstrip("\r\n").rsplit("\r", 1)[-1])
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _pass_on_lines(
    process: subprocess.Popen[bytes],
    lines: queue.Queue[str | None],
    on_line: Callable[[str], None],
    tree: _ProcessTree,
) -> None:
    """Call ``on_line`` for each line until the pipe closes.

    If a descendant holds the pipe open after the command has ended, return after `_DRAIN_S`.
    """
    ended_at: float | None = None
    while ended_at is None or time.monotonic() < ended_at + _DRAIN_S:
        _raise_if_ended()
        tree.refresh()
        if ended_at is None and process.poll() is not None:
            ended_at = time.monotonic()
        try:
            line = lines.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if line is None:
            return
        on_line(line)


class _ProcessTree:
    """The descendants of one process. Descendants found once are kept until they end, so that orphans are ended too."""

    def __init__(self, pid: int) -> None:
        self._found: set[psutil.Process] = set()
        self._refreshed_at = 0.0
        try:
            self._root = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return
        self._found.add(self._root)

    def refresh(self) -> None:
        """Add the current descendants, at most once per poll interval."""
        if time.monotonic() - self._refreshed_at < _POLL_S:
            return
        self._refreshed_at = time.monotonic()
        if self._found:
            # Each search reads the list of all processes, so only orphans are searched besides the root.
            below = _with_descendants([self._root])
            self._found = below | _with_descendants(p for p in self._found - below if p.is_running())

    def end(self) -> None:
        end_processes(_with_descendants(self._found))


def _with_descendants(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found = set(processes)
    for process in list(found):
        try:
            found.update(process.children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    return found


def _descendants() -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if not is_guard(process)]


def end_processes(processes: Iterable[psutil.Process]) -> None:
    """End processes: SIGTERM first, SIGKILL after `GRACE_S` for them and their descendants."""
    alive = [process for process in processes if is_alive(process)]
    try:
        _signal(alive, psutil.Process.terminate)
        _wait(alive, GRACE_S)
    finally:  # also when a second signal interrupts the wait
        remaining = [process for process in _with_descendants(alive) if is_alive(process)]
        _signal(remaining, psutil.Process.kill)
        _wait(remaining, _KILL_WAIT_S)


def _signal(processes: Iterable[psutil.Process], action: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            action(process)
        except psutil.NoSuchProcess:
            continue


def _wait(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
