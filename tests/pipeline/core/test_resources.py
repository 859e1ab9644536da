"""Limits on cores and memory that control groups, CPU sets and flows set for a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pipeline.core import resources
from pipeline.core.errors import UserError
from pipeline.core.resources import NUM_CORES_VARIABLE, Limits, available_bytes, cgroup_limits, num_cores

GB = 1_000_000_000


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


@pytest.mark.parametrize(
    ("files", "process", "limits"),
    [
        ({"memory.max": "max\n", "cpu.max": "max 100000\n"}, "0::/\n", Limits(None, None)),
        ({"memory.max": "4000000000\n", "cpu.max": "150000 100000\n"}, "0::/\n", Limits(4 * GB, 1.5)),
        (
            {"job/memory.max": "3000000000\n", "job/step/memory.max": "max\n", "job/step/cpu.max": "200000 100000\n"},
            "0::/job/step\n",
            Limits(3 * GB, 2.0),
        ),
        (
            {
                "memory/memory.limit_in_bytes": "2000000000\n",
                "cpu/cpu.cfs_quota_us": "50000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            "4:memory:/\n3:cpu,cpuacct:/\n",
            Limits(2 * GB, 0.5),
        ),
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            "4:memory:/\n",
            Limits(None, None),
        ),
        ({}, "", Limits(None, None)),
    ],
    ids=["unlimited", "container", "scheduler", "version 1", "version 1 unlimited", "none"],
)
def test_limits_of_control_groups(tmp_path: Path, files: dict[str, str], process: str, limits: Limits) -> None:
    mounted = tmp_path / "cgroup"
    mounted.mkdir()
    write(mounted, files)
    (tmp_path / "self").write_text(process)
    assert cgroup_limits(mounted, tmp_path / "self") == limits
    assert cgroup_limits(tmp_path / "nowhere", tmp_path / "nothing") == Limits(None, None)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv(NUM_CORES_VARIABLE, raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "350000 100000\n"}, 3),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"job/cpu.max": "200000 100000\n", "job/step/cpu.max": "max 100000\n"}, 2),
        ({"cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "50000\n"}, 5),
    ],
    ids=[
        "no groups",
        "unlimited",
        "container",
        "less than one",
        "more than the machine has",
        "parent group",
        "version 1",
    ],
)
def test_a_quota_limits_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    write(tmp_path / "cgroup", files)
    (tmp_path / "self").write_text("0::/job/step\n")
    limits = cgroup_limits(tmp_path / "cgroup", tmp_path / "self")
    assert num_cores(limits) == cores
    monkeypatch.setattr(resources, "cgroup_limits", lambda: limits)
    assert num_cores() == cores


@pytest.mark.usefixtures("eight_cores")
def test_a_flows_share_overrides_quota_and_cpu_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NUM_CORES_VARIABLE, "3")
    assert num_cores(Limits(None, 1.0)) == 3


@pytest.mark.parametrize("share", ["two", "0", "-1", "1.5"])
def test_a_share_that_is_no_number_of_cores_is_an_error(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NUM_CORES_VARIABLE, share)
    with pytest.raises(UserError, match=f"LIPSMITH_NUM_CORES is '{share}'; it must be an integer from 1, or unset"):
        num_cores()


@pytest.mark.parametrize(
    ("files", "free_gb"),
    [
        ({}, 40),
        ({"memory.max": "max\n", "memory.current": "1000000000\n"}, 40),
        ({"memory.max": "4000000000\n", "memory.current": "3000000000\n"}, 1),
        (
            {
                "memory.max": "4000000000\n",
                "memory.current": "3000000000\n",
                "memory.stat": "anon 1000000000\ninactive_file 2000000000\n",
            },
            3,
        ),
        ({"memory.max": "1000000000\n", "memory.current": "2000000000\n"}, 0),
        (
            {
                "memory/memory.limit_in_bytes": "4000000000\n",
                "memory/memory.usage_in_bytes": "2000000000\n",
                "memory/memory.stat": "inactive_file 0\ntotal_inactive_file 500000000\n",
            },
            2.5,
        ),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "5\n"}, 40),
    ],
    ids=["no groups", "unlimited", "container", "cached files", "above the limit", "version 1", "version 1 unlimited"],
)
def test_available_memory_is_what_a_control_group_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], free_gb: float
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=40 * GB))
    (tmp_path / "cgroup").mkdir()
    write(tmp_path / "cgroup", files)
    (tmp_path / "self").write_text("0::/\n")
    assert available_bytes(tmp_path / "cgroup", tmp_path / "self") == free_gb * GB


QUOTA = """
import os
import numpy
from threadpoolctl import threadpool_info
from pipeline.core import resources

resources.cgroup_limits = lambda: resources.Limits(None, {quota})
resources.visible_cores = lambda: 8
resources.limit_threads()
print({{library["num_threads"] for library in threadpool_info()}}, os.environ.get("OMP_NUM_THREADS"))
"""


def test_a_quota_limits_the_threads_of_numpy_in_a_stage_that_dvc_started() -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", NUM_CORES_VARIABLE)
    environment = {name: value for name, value in os.environ.items() if name not in names}

    def threads(quota: str) -> str:
        command = [sys.executable, "-c", QUOTA.format(quota=quota)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert threads("1.5") == "{1} 1"
    assert threads("None").endswith("None")
