"""Commands whose whole process tree ends with them."""

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

from pipeline.core.errors import LipsmithError

GRACE_S = 15.0
"""Between SIGTERM and SIGKILL, s: enough for a stage to unwind, less than Prefect's own 30 s."""
_POLL_S = 0.25
_DRAIN_S = 2.0
_KILL_WAIT_S = 5.0
_MOST_ROUNDS = 5
ENDING_S = GRACE_S + 2 * _KILL_WAIT_S
"""What `stream` takes at most to end its command."""

_all_ended = threading.Event()
_ended_by: ContextVar[threading.Event | None] = ContextVar("_ended_by", default=None)


class CommandEndedError(LipsmithError):
    """`end_everything` or the event of `end_commands_by` ended the command, or it did not start."""


def stream(
    command: list[str],
    cwd: Path,
    on_line: Callable[[str], None],
    extra_env: Mapping[str, str] | None = None,
) -> int:
    """Run a command, pass on each line of its stdout and stderr, return its exit code.

    Whatever ends the call (the command's end, an exception in ``on_line``, a signal turned into an
    exception), every process of the command's tree has ended when it returns, also those whose
    parent died before them. The command stays in the caller's process group. Of a line redrawn with
    carriage returns, such as a progress bar, only the last state is passed on. Raises CommandEndedError
    where the event of `end_commands_by` is set.
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
    """From now on, once the event is set, `stream` in this context (a thread's) ends its command and starts none."""
    _ended_by.set(event)


def _raise_if_ended() -> None:
    event = _ended_by.get()
    if _all_ended.is_set() or (event is not None and event.is_set()):
        raise CommandEndedError("ended together with what it was part of")


def end_children() -> None:
    """End every process below this one, at first with SIGTERM."""
    _end(psutil.Process().children(recursive=True))


def end_everything() -> None:
    """As `end_children`, and `stream` starts no command any more, in any thread."""
    _all_ended.set()
    _wait(psutil.Process().children(recursive=True), _KILL_WAIT_S)  # Ctrl-C reached them, too: let them say so
    for _ in range(_MOST_ROUNDS):
        end_children()
        time.sleep(2 * _POLL_S)  # a command that was just starting shows up, or its thread has ended it
        if not psutil.Process().children(recursive=True):
            return


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """``python`` of a stage's command is this interpreter, and its lines arrive as they are written."""
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
    """Until the pipe closes, or shortly after the command ended with a descendant holding it open."""
    ended_at: float | None = None
    while ended_at is None or time.monotonic() < ended_at + _DRAIN_S:
        _raise_if_ended()
        tree.look()
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
    """The processes seen below one, remembered so that orphans are found too."""

    def __init__(self, pid: int) -> None:
        self._seen: set[psutil.Process] = set()
        self._looked_at = 0.0
        try:
            self._seen.add(psutil.Process(pid))
        except psutil.NoSuchProcess:
            return

    def look(self) -> None:
        """Remember today's descendants; at most one look per poll interval."""
        if time.monotonic() - self._looked_at < _POLL_S:
            return
        self._looked_at = time.monotonic()
        self._seen |= _with_descendants(self._seen)

    def end(self) -> None:
        _end(_with_descendants(self._seen))


def _with_descendants(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found = set(processes)
    for process in list(found):
        try:
            found.update(process.children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    return found


def _end(processes: Iterable[psutil.Process]) -> None:
    alive = [process for process in processes if _is_alive(process)]
    try:
        _signal(alive, psutil.Process.terminate)
        _wait(alive, GRACE_S)
    finally:  # also when a second signal interrupts the wait
        remaining = [process for process in _with_descendants(alive) if _is_alive(process)]
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
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    """A zombie has ended; whether its parent ever asks is not ours to wait for."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
