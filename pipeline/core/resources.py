"""CPU cores and memory that this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import UserError

_UNLIMITED_BYTES = 1 << 60
"""Control groups of version 1 report a number above this if there is no limit."""
SHARE_VARIABLE = "LIPSMITH_NUM_CORES"
"""Environment variable with a stage's share of the cores. A flow sets it for stages that run in parallel."""


class Limits(NamedTuple):
    """Limits that control groups (containers, job schedulers) set for this process; None: no limit."""

    memory_bytes: int | None
    cores: float | None


def num_cores(limits: Limits | None = None) -> int:
    """Number of cores that this process may use: ``SHARE_VARIABLE`` if set, else ``visible_cores`` within the quota.

    The quota is rounded down, but to at least 1: threads beyond the quota would wait for each other. ``limits``:
    default, the limits of this process. Raises UserError if ``SHARE_VARIABLE`` is not an integer from 1.
    """
    if share := os.environ.get(SHARE_VARIABLE):
        if not share.isdecimal() or int(share) < 1:
            raise UserError(f"{SHARE_VARIABLE} is {share!r}; it must be an integer from 1, or unset")
        return int(share)
    quota = (limits or cgroup_limits()).cores
    return visible_cores() if quota is None else max(1, min(visible_cores(), int(quota)))


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
