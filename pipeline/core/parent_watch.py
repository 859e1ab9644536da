"""Ends a process after the process that started it was killed. A killed process cannot end its children itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

logger = logging.getLogger(__name__)

ORPHAN_GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL: enough to unwind, and together with a new start's checks less than 30 s."""
LAST_S = 3.0
"""Seconds after ORPHAN_GRACE_S until the operating system ends the process.

At its end Python stops all threads, this watch included, before it frees the modules. On a busy machine that takes a
minute.
"""
POLL_S = 0.5
_DVC_VARIABLE = "DVC_STAGE"
"""DVC sets this variable for the command of a stage."""


def end_with_dvc() -> None:
    """Let this process end after the DVC process above it was killed. Without DVC above it, nothing is watched.

    A stage that was started by hand is not watched: it may outlive its terminal.
    """
    if _DVC_VARIABLE in os.environ:
        _watch(up_to_dvc(psutil.Process().parents()))


def end_with_parent() -> None:
    """Let this process end after its parent was killed, for workers of a pool."""
    _watch(psutil.Process().parents()[:1])


def up_to_dvc(above: Sequence[psutil.Process]) -> list[psutil.Process]:
    """The processes from the parent up to DVC, with the shell between them. Only the parent if none of them is DVC.

    ``above``: the ancestors of a process, its parent first.
    """
    for count, process in enumerate(above, start=1):
        if _is_dvc(process):
            return list(above[:count])
    return list(above[:1])


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs. A zombie counts as ended, since its parent may never reap it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_dvc(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    is_module = "-m" in words[:-1] and words[words.index("-m") + 1] == "dvc"
    return is_module or any(Path(word).name == "dvc" for word in words[:2])


def _watch(watched: Sequence[psutil.Process]) -> None:
    if watched:
        threading.Thread(target=_wait_and_end, args=(watched,), name="parent-watch", daemon=True).start()


def _wait_and_end(watched: Sequence[psutil.Process]) -> None:
    while all(map(is_alive, watched)):
        time.sleep(POLL_S)
    ended = next(process.pid for process in watched if not is_alive(process))
    logger.error("process %d, which started this one, has ended; this one ends too", ended)
    own = psutil.Process()
    signal.setitimer(signal.ITIMER_REAL, ORPHAN_GRACE_S + LAST_S)  # SIGALRM ends a process that has no handler for it
    os.kill(own.pid, signal.SIGTERM)
    time.sleep(ORPHAN_GRACE_S)
    for process in [*own.children(recursive=True), own]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
