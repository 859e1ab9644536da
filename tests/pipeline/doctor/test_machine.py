"""Checks of GPU, cores, memory and disks, with fake hardware."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from pipeline.core import resources
from pipeline.core.layout import Layout
from pipeline.core.resources import Limits
from pipeline.doctor import machine
from pipeline.doctor.check import ProgramError, Status
from pipeline.doctor.machine import GB
from pipeline.params import Params

NO_CARD = Path("/no/such/device")
CARD = "NVIDIA H100, 81559 MiB, 550.54.15"


def set_torch(monkeypatch: pytest.MonkeyPatch, gpus: list[str], cuda: str | None, error: str = "") -> None:
    answer = {"version": "2.13.0", "cuda": cuda, "cards": gpus, "error": error}
    monkeypatch.setattr(machine, "run_python", lambda code: answer)


def set_cards(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(machine, "nvidia_cards", lambda: list(names))


def with_runtime(params: Params, **runtime: Any) -> Params:
    return params.model_copy(update={"runtime": params.runtime.model_copy(update=runtime)})


def test_a_working_gpu_is_ok(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    set_torch(monkeypatch, ["NVIDIA H100, 85 GB"], "12.8")
    set_cards(monkeypatch, CARD)
    (check,) = machine.check_gpu(params)
    assert check.status is Status.OK
    for word in ("NVIDIA H100, 85 GB", "CUDA 12.8", "550.54.15"):
        assert word in check.found


@pytest.mark.parametrize("is_named", [True, False])
def test_torch_without_cuda_warns_if_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, params: Params, tmp_path: Path, is_named: bool
) -> None:
    """The GPU is reported by nvidia-smi, or only its device file exists."""
    set_torch(monkeypatch, [], None)
    device = tmp_path / "nvidia0"
    set_cards(monkeypatch, *([CARD] if is_named else []))
    if not is_named:
        device.touch()
    (check,) = machine.check_gpu(params, device)
    assert check.status is Status.WARN
    assert "without CUDA" in check.found
    assert "CUDA build" in check.remedy
    (check,) = machine.check_gpu(with_runtime(params, device="cuda"), device)
    assert check.status is Status.FAIL


def test_a_hidden_gpu_and_one_that_cannot_compute(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    set_cards(monkeypatch, CARD)
    set_torch(monkeypatch, [], "12.8")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "its driver must support CUDA 12.8" in machine.check_gpu(params, NO_CARD)[0].remedy
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "unset CUDA_VISIBLE_DEVICES" in machine.check_gpu(params, NO_CARD)[0].remedy
    set_torch(monkeypatch, [], "12.8", "AcceleratorError: no kernel image is available")
    (check,) = machine.check_gpu(params, NO_CARD)
    assert check.status is Status.FAIL
    assert "no kernel image" in check.found


def test_no_gpu_is_ok_unless_params_require_one(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    set_torch(monkeypatch, [], None)
    set_cards(monkeypatch)
    assert machine.check_gpu(params, NO_CARD)[0].status is Status.OK
    assert machine.check_gpu(None, NO_CARD)[0].status is Status.OK
    (check,) = machine.check_gpu(with_runtime(params, device="cuda"), NO_CARD)
    assert check.status is Status.FAIL
    assert "runtime.device" in check.remedy


def test_a_torch_that_cannot_be_imported_fails(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    def fails(code: str) -> None:
        raise ProgramError("OSError: libcudart.so.12")

    monkeypatch.setattr(machine, "run_python", fails)
    (check,) = machine.check_gpu(params, NO_CARD)
    assert (check.name, check.status) == ("torch", Status.FAIL)
    assert "libcudart" in check.found


def test_nvidia_smi_gives_one_gpu_per_line_and_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "output_of", lambda command, limit_s: f"{CARD}\n{CARD}\n\n")
    assert machine.nvidia_cards() == [CARD, CARD]

    def absent(command: list[str], limit_s: float) -> str:
        raise ProgramError("No such file or directory: 'nvidia-smi'")

    monkeypatch.setattr(machine, "output_of", absent)
    assert machine.nvidia_cards() == []


def test_more_workers_than_a_containers_limit_warn(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    monkeypatch.delenv("LIPSMITH_NUM_CORES", raising=False)
    monkeypatch.setattr(machine, "visible_cores", lambda: 64)
    monkeypatch.setattr(resources, "visible_cores", lambda: 64)
    (check,) = machine.check_cores(with_runtime(params, num_workers=8), Limits(None, 4.5))
    assert check.status is Status.WARN
    assert check.found == "4: this container's limit is 4.5 of 64; runtime.num_workers is 8"
    assert "runtime.num_workers to 0 for 4 workers" in check.remedy
    for num_workers in (0, 4):  # 0: one worker per usable core
        (check,) = machine.check_cores(with_runtime(params, num_workers=num_workers), Limits(None, 4.5))
        assert check.status is Status.OK
    assert machine.check_cores(with_runtime(params, num_workers=80), Limits(None, None))[0].status is Status.OK
    (check,) = machine.check_cores(None, Limits(None, 64.0))
    assert (check.status, check.found) == (Status.OK, "64")


def test_little_memory_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_memory(total: float, free: float, limit: float | None = None) -> Status:
        memory = SimpleNamespace(total=total * GB, available=free * GB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
        return machine.check_memory(Limits(None if limit is None else int(limit * GB), None))[0].status

    assert with_memory(32, 20) is Status.OK
    assert with_memory(32, 0.5) is Status.WARN
    assert with_memory(3, 2) is Status.WARN
    assert with_memory(64, 40, limit=2) is Status.WARN
    assert with_memory(64, 40, limit=16) is Status.OK


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free_gb", "status"), [(50, Status.OK), (4.9, Status.WARN), (0.9, Status.FAIL)], ids=["room", "little", "none"]
)
def test_free_disk_space(monkeypatch: pytest.MonkeyPatch, layout: Layout, free_gb: float, status: Status) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GB, 0, int(free_gb * GB)))
    (check,) = machine.check_disk(layout, layout.root / "tmp" / "not there yet")
    assert check.status is status
    for place in ("checkout", "data", "scratch", "DVC's cache", "temporary files"):
        assert place in check.found


def test_each_file_system_is_checked_once_and_temporary_files_need_less(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, tmp_path: Path
) -> None:
    temp = tmp_path / "other disk"
    temp.mkdir()
    real = Path.stat

    def stat(self: Path, **options: Any) -> Any:
        return SimpleNamespace(st_dev=-1) if self == temp else real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10 * GB, 0, 2 * GB if path == temp else 20 * GB))
    checks = machine.check_disk(layout, temp)
    assert [check.status for check in checks] == [Status.OK, Status.OK]
    assert checks[1].found.endswith("for temporary files")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10 * GB, 0, GB // 10 if path == temp else 20 * GB))
    last = machine.check_disk(layout, temp)[1]
    assert last.status is Status.FAIL
    assert "TMPDIR" in last.remedy


def test_a_folder_that_is_not_writable_fails(monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    layout.artifacts_dir.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != layout.artifacts_dir)
    (check,) = machine.check_disk(layout, layout.root)
    assert check.status is Status.FAIL
    assert str(layout.artifacts_dir) in check.found
