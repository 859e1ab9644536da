"""What of the processor and of the memory this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_UNLIMITED_BYTES = 1 << 60
"""Control groups of version 1 write a number above this for no limit."""
SHARE_VARIABLE = "LIPSMITH_NUM_CORES"
"""Environment variable by which a flow tells a stage its share of the cores, where several run at once."""


class Limits(NamedTuple):
    """What control groups (containers, job schedulers) leave to this process; None where there is no limit."""

    memory_bytes: int | None
    cores: float | None


def num_cores(limits: Limits | None = None) -> int:
    """Cores that this process may keep busy: its share if a flow gave it one, else ``visible_cores``, within its quota.

    A quota is rounded down, to 1 at least: threads beyond it would wait for each other. ``limits``: default, those
    that hold for this process.
    """
    if share := os.environ.get(SHARE_VARIABLE):
        return int(share)
    quota = (limits or cgroup_limits()).cores
    return visible_cores() if quota is None else max(1, min(visible_cores(), int(quota)))


def visible_cores() -> int:
    """Cores of this process's CPU set, or of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_limits(mounted: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> Limits:
    """The tightest limits of this process's group and those above it, versions 1 and 2."""
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
    """The numbers of a limit file; ``max`` and files that are not there give none."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [] if "max" in words else [float(word) for word in words]
