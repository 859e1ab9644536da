"""Exit codes of commands as sentences."""

from __future__ import annotations

import signal

import psutil

from pipeline.core.resources import cgroup_limits

_SHELL_BASE, _LAST_SIGNAL = 128, 64
_GB = 1e9


def describe_exit(code: int) -> str:
    """What an exit code means, without a subject: ``exited with 2``, or for a signal its name or the likely reason.

    Python reports signal n as -n. A shell, and a command that ends itself after the signal, report it as 128 + n.
    """
    number = _signal_of(code)
    if number == signal.SIGKILL:
        return (
            f"was killed (exit code {code}), most likely because it was out of memory: {_memory_limit()}; use less in "
            "params.yaml: lower runtime.num_jobs, runtime.num_workers or the stage's clips_per_batch"
        )
    if number:
        return f"was ended by {_name_of(number)} (exit code {code})"
    return f"exited with {code}"


def _signal_of(code: int) -> int:
    """The number of the signal that an exit code stands for; 0 if it stands for none."""
    number = -code if code < 0 else code - _SHELL_BASE
    return number if code < 0 or 0 < number <= _LAST_SIGNAL else 0


def _memory_limit() -> str:
    limit = cgroup_limits().memory_bytes
    total = psutil.virtual_memory().total
    if limit is not None and limit < total:
        return f"this container's limit is {limit / _GB:.1f} GB"
    return f"this machine has {total / _GB:.1f} GB"


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
