"""Shards on one core, many cores or many machines: one Ray task each, done again when its worker or node dies.

The machines share no disk. A finished shard waits in Ray's object store until the caller asks for it, and there are
never more of them than tasks in flight.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pipeline
from pipeline.core.errors import TemporaryError, exit_code_of
from pipeline.core.ray_cluster import WorkerError, is_cluster, open_ray
from pipeline.preprocess.plan import ShardTask
from pipeline.preprocess.shard import PackedShard

log = logging.getLogger(__name__)

MAX_RETRIES = 3
"""How often a shard is tried again when its worker or node dies, or its storage or disk fails."""
TASKS_PER_CORE = 2
"""Tasks in flight: one that runs and one that waits for its turn, or whose bytes wait to be written."""
_SHARD_BYTES = 64_000_000  # room for each task in flight; larger shards go to disk
_PATIENCE_S = 60.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


ProcessShard = Callable[[ShardTask], PackedShard]


def run_tasks(tasks: Sequence[ShardTask], process: ProcessShard, num_workers: int) -> Generator[PackedShard]:
    """Shards as they are finished. One worker runs here, more run in Ray; a cluster's cores all work.

    Let go of a shard before asking for the next: its tar is Ray's memory. Raises WorkerError, what ``process`` raises
    where a message explains it (OutageError, a full disk), and for a bug in a worker Ray's RayTaskError, whose text is
    the worker's traceback.
    """
    if not tasks:
        return
    num_workers = min(num_workers, len(tasks))
    if num_workers == 1 and not is_cluster():
        for task in tasks:
            yield process(task)
        return
    with _ray(num_workers) as ray:
        options = {"max_retries": MAX_RETRIES, "retry_exceptions": [TemporaryError, OSError, MemoryError]}
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
        if exit_code_of(error.cause) is not None:
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        clips = ", ".join(record.clip_id for record in task.records)
        what = f"{type(error).__name__}: {str(error).strip().partition(os.linesep)[0]}"
        raise WorkerError(
            f"shard {task.name} was not made in {MAX_RETRIES + 1} tries ({what}); its clips are {clips}"
        ) from error


def _ray(num_workers: int) -> AbstractContextManager[Any]:
    return open_ray(num_workers, [pipeline], TASKS_PER_CORE * num_workers * _SHARD_BYTES, _ONE_THREAD)
