"""Signals that end a process: they unwind it, so that it removes its temporary files."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_CODE_BASE = 128
_RESEND_AFTER_S = 0.05


def exit_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise SystemExit, so that ``finally`` blocks end child processes and remove files.

    A signal that is ignored, such as SIGHUP under ``nohup``, stays ignored. Call it in the main thread.
    """
    for ending in _ENDING:
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _exit)
    resend_lost_signals()


def resend_lost_signals() -> None:
    """Send a signal again if Python drops the exception that its handler raised.

    Python drops every exception that is raised while it finalises an object, such as a generator that a loop has left
    early. A signal that arrives at that moment would have no effect.
    """
    if not isinstance(sys.unraisablehook, _ResendHook):
        sys.unraisablehook = _ResendHook(sys.unraisablehook)


@dataclass(frozen=True)
class _ResendHook:
    """Gets every dropped exception. Those that no signal raised go to the hook that was there before."""

    before: Callable[[UnraisableHookArgs], object]

    def __call__(self, dropped: UnraisableHookArgs) -> None:
        signum = _signal_of(dropped.exc_value)
        if signum is None:
            self.before(dropped)
            return
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, _exit)
        # Later, because an exception that is raised in this hook is dropped, too.
        timer = threading.Timer(_RESEND_AFTER_S, os.kill, (os.getpid(), signum))
        timer.daemon = True
        timer.start()


def _signal_of(error: BaseException | None) -> int | None:
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    code = error.code if isinstance(error, SystemExit) else None
    return next((ending for ending in _ENDING if code == _CODE_BASE + ending), None)


def _exit(signum: int, frame: FrameType | None) -> None:
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_IGN)  # another one must not interrupt the clean-up
    raise SystemExit(_CODE_BASE + signum)
