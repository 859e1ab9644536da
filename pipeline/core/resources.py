"""CPU cores and memory that this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import psutil
from threadpoolctl import threadpool_limits

from pipeline.core.errors import UserError

_UNLIMITED_BYTES = 1 << 60
"""Control groups of version 1 report a number above this if there is no limit."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that limit the threads of numpy's libraries."""
NUM_CORES_VARIABLE = "LIPSMITH_NUM_CORES"
"""Environment variable with the number of cores of a stage. A flow sets it for stages that run in parallel."""


class Limits(NamedTuple):
    """Limits that control groups (containers, job schedulers) set for this process; None: no limit."""

    memory_bytes: int | None
    cores: float | None


def num_cores(limits: Limits | None = None) -> int:
    """Number of cores for this process: ``NUM_CORES_VARIABLE`` if it is set, else ``visible_cores`` within the quota.

    The quota is rounded down, but to at least 1: threads beyond the quota would wait for each other. ``limits``:
    default, the limits of this process. Raises UserError if ``NUM_CORES_VARIABLE`` is not an integer from 1.
    """
    if given := os.environ.get(NUM_CORES_VARIABLE):
        if not given.isdecimal() or int(given) < 1:
            raise UserError(f"{NUM_CORES_VARIABLE} is {given!r}; it must be an integer from 1, or unset")
        return int(given)
    quota = (limits or cgroup_limits()).cores
    return visible_cores() if quota is None else max(1, min(visible_cores(), int(quota)))


def limit_threads() -> None:
    """Limit the threads of numpy's libraries and of child processes if this process may use only some cores.

    These libraries start a thread for each core of the machine, and ignore quotas. Variables that are set stay. Raises
    UserError if ``NUM_CORES_VARIABLE`` is invalid.
    """
    cores = num_cores()
    if cores < visible_cores():
        for name in THREAD_VARIABLES:
            os.environ.setdefault(name, str(cores))
        threadpool_limits(cores)


def visible_cores() -> int:
    """Number of cores of this process's CPU set, or of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_limits(mounted: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> Limits:
    """The tightest limits among this process's control group and its parents, for cgroup versions 1 and 2."""
    memory: list[float] = []
    cores: list[float] = []
    for folder in _cgroup_folders(mounted, process):
        for name in ("memory.max", "memory.limit_in_bytes"):
            memory += _numbers(folder / name)[:1]
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            quota = [number for name in names for number in _numbers(folder / name)]
            if len(quota) == 2 and min(quota) > 0:
                cores.append(quota[0] / quota[1])
    smallest = min((int(size) for size in memory if 0 < size < _UNLIMITED_BYTES), default=None)
    return Limits(smallest, min(cores, default=None))


def available_bytes(mounted: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> int:
    """Memory that this process can still use: what the machine has available, within each control group's limit.

    Cached files count as available, since the system drops them when memory is needed.
    """
    free = [psutil.virtual_memory().available]
    for folder in _cgroup_folders(mounted, process):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _numbers(folder / limit_name), _numbers(folder / used_name)
            if limit and used and limit[0] < _UNLIMITED_BYTES:
                free.append(int(limit[0] - used[0]) + _cached_bytes(folder / "memory.stat"))
    return max(0, min(free))


def _cached_bytes(path: Path) -> int:
    """Size of the cached files that a control group can drop at once."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(values.get("total_inactive_file") or values.get("inactive_file") or 0)


def _cgroup_folders(mounted: Path, process: Path) -> list[Path]:
    tops = [mounted, mounted / "memory", mounted / "cpu", mounted / "cpu,cpuacct"]
    lines = process.read_text().splitlines() if process.is_file() else []
    own = {Path(line.split(":", 2)[2].lstrip("/")) for line in lines if line.count(":") >= 2}
    below = {folder for path in own for folder in (path, *path.parents)}
    return [top / path for top in tops for path in sorted(below | {Path()}) if (top / path).is_dir()]


def _numbers(path: Path) -> list[float]:
    """The numbers in a limit file; empty for ``max`` and for a missing file."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [] if "max" in words else [float(word) for word in words]
