"""Signals that end a process: they unwind it, so that it removes its temporary files."""

from __future__ import annotations

import signal
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def exit_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise SystemExit, so that ``finally`` blocks end child processes and remove files.

    A signal that is ignored, such as SIGHUP under ``nohup``, stays ignored. Call it in the main thread.
    """
    for ending in _ENDING:
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _exit)


def _exit(signum: int, frame: FrameType | None) -> None:
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_IGN)  # another one must not interrupt the clean-up
    raise SystemExit(128 + signum)
