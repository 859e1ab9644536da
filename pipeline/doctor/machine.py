"""Checks of the machine: GPU, CPU cores, memory, disks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.layout import Layout
from pipeline.core.resources import Limits, available_bytes, cgroup_limits, num_cores, visible_cores
from pipeline.doctor.check import Check, ProgramError, fail, ok, output_of, run_python, warn
from pipeline.doctor.packages import reinstall
from pipeline.params import Params

GB = 1_000_000_000
LOW_MEMORY_BYTES = 4 * GB
"""Total memory below which the default batch sizes and one worker per core may not fit."""
LOW_FREE_MEMORY_BYTES = 1 * GB
LOW_DISK_BYTES, NO_DISK_BYTES = 5 * GB, 1 * GB
"""Free space for data, checkpoints and DVC's cache: a warning below the first value, a failure below the second."""
LOW_TEMP_BYTES, NO_TEMP_BYTES = 1 * GB, GB // 5
_NVIDIA_SMI_S = 15.0
_QUERY_TORCH = """
import json, torch
cards, error = [], ""
try:
    for k in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found = torch.cuda.get_device_properties(k)
        torch.ones(8, device=f"cuda:{k}").sum().item()
        cards.append(f"{found.name}, {found.total_memory / 1e9:.0f} GB")
except Exception as caught:
    error = f"{type(caught).__name__}: {(str(caught).splitlines() or [''])[0]}"
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "cards": cards, "error": error}))
"""


def nvidia_cards() -> list[str]:
    """Name, memory and driver of each GPU from ``nvidia-smi``; empty if the program is missing or fails."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return [line.strip() for line in output_of(query, _NVIDIA_SMI_S).splitlines() if line.strip()]
    except ProgramError:
        return []


def check_gpu(params: Params | None, device_file: Path = Path("/dev/nvidia0")) -> list[Check]:
    """Check that torch finds the GPU and can compute on it."""
    try:
        torch = run_python(_QUERY_TORCH)
    except ProgramError as error:
        return [fail("torch", f"cannot be imported: {error}", f"run `{reinstall('torch')}`")]
    build = f"torch {torch['version']}" + (f" for CUDA {torch['cuda']}" if torch["cuda"] else ", a build without CUDA")
    cards = nvidia_cards()
    drivers = "; ".join(cards) or "nvidia-smi reports none"
    if torch["error"]:
        return [fail("GPU", f"{build} cannot compute on the GPU: {torch['error']}", _gpu_remedy(torch["cuda"]))]
    if torch["cards"]:
        return [ok("GPU", f"{'; '.join(torch['cards'])}; {build}; GPUs and drivers: {drivers}")]
    is_wanted = params is not None and params.runtime.device == "cuda"
    if cards or device_file.exists():
        result = fail if is_wanted else warn
        return [result("GPU", f"{build} does not find the GPU ({drivers})", _gpu_remedy(torch["cuda"]))]
    if is_wanted:
        found = f"none, but params.yaml: runtime.device is cuda ({build})"
        return [fail("GPU", found, "set params.yaml: runtime.device to auto or cpu")]
    return [ok("GPU", f"none: everything runs on the CPU ({build})")]


def _gpu_remedy(cuda: str | None) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"unset CUDA_VISIBLE_DEVICES: its value {hidden!r} hides the GPU"
    if cuda is None:
        return "install a CUDA build of torch within pyproject.toml's range; see pytorch.org, Get Started"
    return (
        f"`nvidia-smi` must list the GPU, its driver must support CUDA {cuda}, and no other process may use it "
        "exclusively"
    )


def check_cores(params: Params | None, limits: Limits | None = None) -> list[Check]:
    limits = limits or cgroup_limits()
    visible, usable = visible_cores(), num_cores(limits)
    workers = "" if params is None else f"; runtime.num_workers is {params.runtime.num_workers}"
    if limits.cores is None or usable == visible:
        return [ok("cores", f"{usable}{workers}")]
    found = f"{usable}: this container's limit is {limits.cores:.1f} of {visible}{workers}"
    if params is not None and params.runtime.num_workers > usable:
        return [warn("cores", found, f"set params.yaml: runtime.num_workers to 0 for {usable} workers, one per core")]
    return [ok("cores", found)]


def check_memory(limits: Limits | None = None) -> list[Check]:
    import psutil

    memory, limit = psutil.virtual_memory(), (limits or cgroup_limits()).memory_bytes
    total, free = memory.total, memory.available
    found = f"{free / GB:.1f} of {total / GB:.1f} GB available"
    if limit is not None and limit < total:
        found += f"; this container's limit is {limit / GB:.1f} GB"
        total, free = limit, min(free, limit, available_bytes())
    if total < LOW_MEMORY_BYTES or free < LOW_FREE_MEMORY_BYTES:
        remedy = "end other programs, set params.yaml: runtime.num_workers to 1, or lower the clips_per_batch settings"
        return [warn("memory", found, remedy)]
    return [ok("memory", found)]


def check_disk(layout: Layout, temp_dir: Path | None = None) -> list[Check]:
    """Check free space and write access, with one result per file system that the pipeline writes to."""
    places = {
        "checkout": layout.root,
        "data": layout.shards_dir,
        "artifacts": layout.artifacts_dir,
        "scratch": layout.scratch_dir,
        "DVC's cache": layout.root / ".dvc" / "cache",
        "temporary files": temp_dir or Path(tempfile.gettempdir()),
    }
    by_device: dict[int, dict[str, Path]] = {}
    for name, path in places.items():
        folder = _existing(path)
        by_device.setdefault(folder.stat().st_dev, {})[name] = folder
    return [_check_disk(names) for names in by_device.values()]


def _check_disk(folders: Mapping[str, Path]) -> Check:
    name = "disk"
    locked = [f"{what} ({folder})" for what, folder in folders.items() if not os.access(folder, os.W_OK)]
    if locked:
        return fail(name, f"not writable: {', '.join(locked)}", "make the folders writable for this user")
    usage = shutil.disk_usage(next(iter(folders.values())))
    found = f"{usage.free / GB:.1f} of {usage.total / GB:.0f} GB free for {', '.join(folders)}"
    is_temp_only = list(folders) == ["temporary files"]
    low, none = (LOW_TEMP_BYTES, NO_TEMP_BYTES) if is_temp_only else (LOW_DISK_BYTES, NO_DISK_BYTES)
    if usage.free >= low:
        return ok(name, found)
    remedy = (
        "free some space, or set TMPDIR to another disk"
        if is_temp_only
        else "free some space: `dvc gc -w` deletes cached results of earlier settings"
    )
    return (fail if usage.free < none else warn)(name, found, remedy)


def _existing(path: Path) -> Path:
    """The folder, or its nearest parent that exists. Links are followed."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.exists())
