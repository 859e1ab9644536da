"""Exit codes of commands as sentences."""

from __future__ import annotations

import signal

import psutil

from pipeline.core.resources import cgroup_limits

_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
_GB = 1e9


def describe_exit(code: int) -> str:
    """What an exit code means, without a subject: ``exited with 2``, or for a signal what probably sent it.

    A shell reports a signal n as 128 + n, Python as -n.
    """
    if code in _KILLED:
        return (
            f"was killed (exit code {code}), most likely because it was out of memory: {_memory_limit()}; use less in "
            "params.yaml: lower runtime.num_jobs, runtime.num_workers or the stage's clips_per_batch"
        )
    if code < 0:
        return f"was ended by {_name_of(-code)} (exit code {code})"
    return f"exited with {code}"


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
