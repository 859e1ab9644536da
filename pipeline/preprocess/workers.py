"""Runs shard tasks on one core, several cores or a Ray cluster. Retries a task whose worker or node dies.

The machines need no shared disk. A finished shard stays in Ray's object store until the caller takes it. The number of
tasks in flight limits the number of such shards.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from pipeline.core.errors import TemporaryError, exit_code_of
from pipeline.core.ray_cluster import WorkerError, is_cluster, open_ray
from pipeline.preprocess.plan import ShardTask
from pipeline.preprocess.shard import PackedShard

log = logging.getLogger(__name__)

MAX_RETRIES = 3
"""Number of retries of a shard whose worker, node, storage or disk fails."""
TASKS_PER_CORE = 2
"""Tasks in flight per core: one that runs, and one that is queued or finished but not written."""
_SHARD_BYTES = 64_000_000  # room for each task in flight; larger shards go to disk
_PATIENCE_S = 60.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


ProcessShard = Callable[[ShardTask], PackedShard]


def run_tasks(tasks: Sequence[ShardTask], process: ProcessShard, num_workers: int) -> Generator[PackedShard]:
    """Yields shards in order of completion.

    One worker runs in this process, several run in Ray. A cluster uses all its cores.

    Delete a shard before taking the next: its tar occupies Ray's object store. Raises WorkerError, errors of
    ``process`` that have an exit code (OutageError, a full disk), and RayTaskError with the worker's traceback for a
    bug in a worker.
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
    """Wait for a shard and remove it from ``running``. Keeps no reference to it, so that its memory can be freed."""
    while not (done := ray.wait(list(running), num_returns=1, timeout=_PATIENCE_S)[0]):
        if not _num_slots(ray):
            log.warning("the Ray cluster has no free core: %d shards are waiting", len(running))
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
            f"shard {task.name} failed {MAX_RETRIES + 1} times ({what}); its clips are {clips}"
        ) from error


def _ray(num_workers: int) -> AbstractContextManager[Any]:
    return open_ray(num_workers, TASKS_PER_CORE * num_workers * _SHARD_BYTES, _ONE_THREAD)
