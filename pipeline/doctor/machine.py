"""The machine: graphics card, processor cores, memory, disks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.layout import Layout
from pipeline.core.resources import Limits, cgroup_limits, num_cores, visible_cores
from pipeline.doctor.check import Check, NoAnswerError, answer_of, ask_python, fail, ok, warn
from pipeline.params import Params

GB = 1_000_000_000
LOW_MEMORY_BYTES = 4 * GB
"""With less than this in all, the default batch and a worker per core may not fit."""
LOW_FREE_MEMORY_BYTES = 1 * GB
LOW_DISK_BYTES, NO_DISK_BYTES = 5 * GB, 1 * GB
"""Free where data, checkpoints and DVC's cache go: under the first a warning, under the second a failure."""
LOW_TEMP_BYTES, NO_TEMP_BYTES = 1 * GB, GB // 5
_NVIDIA_SMI_S = 15.0
_ASK_TORCH = """
import json, torch
cards, error = [], ""
try:
    for k in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found = torch.cuda.get_device_properties(k)
        torch.ones(8, device=f"cuda:{k}").sum().item()
        cards.append(f"{found.name}, {found.total_memory / 1e9:.0f} GB")
except Exception as caught:
    error = f"{type(caught).__name__}: {str(caught).splitlines()[0]}"
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "cards": cards, "error": error}))
"""


def nvidia_cards() -> list[str]:
    """Name, memory and driver of each card by ``nvidia-smi``; none where it is absent or does not answer."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        return [line.strip() for line in answer_of(query, _NVIDIA_SMI_S).splitlines() if line.strip()]
    except NoAnswerError:
        return []


def check_gpu(params: Params | None, device_file: Path = Path("/dev/nvidia0")) -> list[Check]:
    """Does torch see the card, and can it compute on it?"""
    try:
        torch = ask_python(_ASK_TORCH)
    except NoAnswerError as error:
        return [fail("torch", f"cannot be imported: {error}", "`pip install --force-reinstall torch`")]
    build = f"torch {torch['version']}" + (f" for CUDA {torch['cuda']}" if torch["cuda"] else ", a build without CUDA")
    cards = nvidia_cards()
    drivers = "; ".join(cards) or "none that nvidia-smi names"
    if torch["error"]:
        return [fail("GPU", f"{build} cannot compute on the card: {torch['error']}", _why_unseen(torch["cuda"]))]
    if torch["cards"]:
        return [ok("GPU", f"{'; '.join(torch['cards'])}; {build}; cards and drivers: {drivers}")]
    is_wanted = params is not None and params.runtime.device == "cuda"
    if cards or device_file.exists():
        say = fail if is_wanted else warn
        return [say("GPU", f"{build} does not see the card ({drivers})", _why_unseen(torch["cuda"]))]
    if is_wanted:
        found = f"none, but params.yaml: runtime.device is cuda ({build})"
        return [fail("GPU", found, "set runtime.device to auto or cpu")]
    return [ok("GPU", f"none: everything runs on the processor ({build})")]


def _why_unseen(cuda: str | None) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides it: unset it"
    if cuda is None:
        return "install a CUDA build of torch within pyproject's range: pytorch.org, Get Started, has the command"
    return f"`nvidia-smi` must list the card, with a driver that knows CUDA {cuda} and is not in another's sole use"


def check_cores(params: Params | None, limits: Limits | None = None) -> list[Check]:
    limits = limits or cgroup_limits()
    visible, usable = visible_cores(), num_cores(limits)
    workers = "" if params is None else f"; runtime.num_workers is {params.runtime.num_workers}"
    if limits.cores is None or usable == visible:
        return [ok("cores", f"{usable}{workers}")]
    found = f"{usable}: this container may use {limits.cores:.1f} of {visible}{workers}"
    if params is not None and params.runtime.num_workers > usable:
        return [warn("cores", found, f"params.yaml: runtime.num_workers 0 starts {usable}, one for each core")]
    return [ok("cores", found)]


def check_memory(limits: Limits | None = None) -> list[Check]:
    import psutil

    memory, limit = psutil.virtual_memory(), (limits or cgroup_limits()).memory_bytes
    total, free = memory.total, memory.available
    found = f"{free / GB:.1f} of {total / GB:.1f} GB available"
    if limit is not None and limit < total:
        found += f", this container may use {limit / GB:.1f}"
        total, free = limit, min(free, limit)
    if total < LOW_MEMORY_BYTES or free < LOW_FREE_MEMORY_BYTES:
        remedy = "end other programs; params.yaml: runtime.num_workers 1, smaller clips_per_batch of the trainings"
        return [warn("memory", found, remedy)]
    return [ok("memory", found)]


def check_disk(layout: Layout, temp_dir: Path | None = None) -> list[Check]:
    """Room and write access, one line for each file system that the pipeline writes to."""
    places = {
        "checkout": layout.root,
        "data": layout.shards_dir,
        "artifacts": layout.artifacts_dir,
        "scratch": layout.scratch_dir,
        "DVC's cache": layout.root / ".dvc" / "cache",
        "temporary files": temp_dir or Path(tempfile.gettempdir()),
    }
    together: dict[int, dict[str, Path]] = {}
    for name, path in places.items():
        folder = _existing(path)
        together.setdefault(folder.stat().st_dev, {})[name] = folder
    return [_check_disk(names) for names in together.values()]


def _check_disk(folders: Mapping[str, Path]) -> Check:
    name = "disk"
    locked = [f"{what} ({folder})" for what, folder in folders.items() if not os.access(folder, os.W_OK)]
    if locked:
        return fail(name, f"not writable: {', '.join(locked)}", "give yourself the right to write there")
    usage = shutil.disk_usage(next(iter(folders.values())))
    found = f"{usage.free / GB:.1f} of {usage.total / GB:.0f} GB free for {', '.join(folders)}"
    is_temp_only = list(folders) == ["temporary files"]
    low, none = (LOW_TEMP_BYTES, NO_TEMP_BYTES) if is_temp_only else (LOW_DISK_BYTES, NO_DISK_BYTES)
    if usage.free >= low:
        return ok(name, found)
    remedy = (
        "free some, or set TMPDIR" if is_temp_only else "free some: `dvc gc -w` drops cached results of old settings"
    )
    return (fail if usage.free < none else warn)(name, found, remedy)


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that is there; links are followed."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.exists())
