"""Shards on one core, many cores or many machines: one Ray task each, done again when its worker or node dies.

The machines share no disk. A finished shard waits in Ray's object store until the caller asks for it, and there are
never more of them than tasks in flight.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import pipeline
from pipeline.preprocess.plan import ShardTask
from pipeline.preprocess.shard import PackedShard
from pipeline.storage import NoDriverError, OutageError

log = logging.getLogger(__name__)

MAX_RETRIES = 3
"""How often a shard is tried again when its worker or node dies, or its storage or disk fails."""
TASKS_PER_CORE = 2
"""Tasks in flight: one that runs and one that waits for its turn, or whose bytes wait to be written."""
_SHARD_BYTES = 64_000_000  # room for each task in flight; larger shards go to disk
_MIN_STORE_BYTES = 100_000_000
_PATIENCE_S = 60.0
_ANSWER_S = 10.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class WorkerError(Exception):
    """A shard's worker died again and again, or the Ray cluster is gone."""


ProcessShard = Callable[[ShardTask], PackedShard]


def is_cluster() -> bool:
    """Whether work goes to a Ray cluster, that of RAY_ADDRESS, instead of this machine."""
    return os.environ.get("RAY_ADDRESS", "") not in ("", "local")


def run_tasks(tasks: Sequence[ShardTask], process: ProcessShard, num_workers: int) -> Generator[PackedShard]:
    """Shards as they are finished. One worker runs here, more run in Ray; a cluster's cores all work.

    Let go of a shard before asking for the next: its tar is Ray's memory. Raises WorkerError, OutageError,
    NoDriverError, and as Ray's RayTaskError whatever else ``process`` raises.
    """
    if not tasks:
        return
    num_workers = min(num_workers, len(tasks))
    if num_workers == 1 and not is_cluster():
        for task in tasks:
            yield process(task)
        return
    with _ray(num_workers) as ray:
        options = {"max_retries": MAX_RETRIES, "retry_exceptions": [OSError, MemoryError]}
        remote = ray.remote(num_cpus=1, **options)(_call)
        waiting = list(reversed(tasks))
        running: dict[Any, ShardTask] = {}
        while waiting or running:
            while waiting and len(running) < TASKS_PER_CORE * max(1, _num_slots(ray)):
                task = waiting.pop()
                running[remote.remote(process, task)] = task
            yield _next_of(ray, running)


def _call(process: ProcessShard, task: ShardTask) -> PackedShard:
    return process(task)


def _num_slots(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _next_of(ray: Any, running: dict[Any, ShardTask]) -> PackedShard:
    """Wait for a shard and take it out of ``running``; no reference to it stays here, so its memory can go."""
    while not (done := ray.wait(list(running), num_returns=1, timeout=_PATIENCE_S)[0]):
        if not _num_slots(ray):
            log.warning("the Ray cluster has no core just now: %d shards wait for one", len(running))
    task = running.pop(done[0])
    try:
        return ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OutageError | NoDriverError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        clips = ", ".join(record.clip_id for record in task.records)
        what = f"{type(error).__name__}: {str(error).strip().partition(os.linesep)[0]}"
        raise WorkerError(
            f"shard {task.name} was not made in {MAX_RETRIES + 1} tries ({what}); its clips are {clips}"
        ) from error


@contextmanager
def _ray(num_workers: int) -> Iterator[Any]:
    """Ray: the cluster of RAY_ADDRESS, or one of our own on this machine that ends with the block.

    Raises WorkerError if the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not is_cluster():
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    if ray.is_initialized():
        yield ray
        return
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # a short path: Ray puts sockets there
    options = _cluster_options(folder) if is_cluster() else _local_options(num_workers, folder)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if is_cluster():
            _require_answer(os.environ["RAY_ADDRESS"])
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # ray.init put its own there
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _require_answer(address: str) -> None:
    """Ray itself would try a silent address for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise WorkerError(f"nothing answers at RAY_ADDRESS {address}: {error}") from error


def _cluster_options(folder: Path) -> dict[str, Any]:
    """The cluster's nodes get this package's code, and nothing else of the checkout.

    As a working directory, which goes before a checkout that a node may have at the same path. What the code imports
    must be installed there.
    """
    code = Path(pipeline.__file__).parent
    shutil.copytree(code, folder / code.name, ignore=shutil.ignore_patterns("__pycache__"))
    return {"runtime_env": {"env_vars": _ONE_THREAD, "working_dir": str(folder)}}


def _local_options(num_workers: int, folder: Path) -> dict[str, Any]:
    return {
        "address": "local",  # and not one that somebody else started on this machine
        "num_cpus": num_workers,
        "include_dashboard": False,
        "object_store_memory": _store_bytes(num_workers),
        "runtime_env": {"env_vars": _ONE_THREAD},
        "_temp_dir": str(folder),
    }


def _store_bytes(num_workers: int) -> int:
    """Room for the shards of all tasks in flight, within a quarter of the free memory."""
    room = psutil.virtual_memory().available // 4
    shared_memory = Path("/dev/shm")
    if shared_memory.is_dir():
        room = min(room, shutil.disk_usage(shared_memory).free * 9 // 10)
    return max(_MIN_STORE_BYTES, min(room, TASKS_PER_CORE * num_workers * _SHARD_BYTES))
