"""Runs shard tasks on one core, several cores or a Ray cluster. Retries a task whose worker or node dies.

The machines need no shared disk. A finished shard stays in Ray's object store until the caller takes it. The number of
tasks in flight limits the number of such shards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from pipeline.core.errors import TemporaryError
from pipeline.core.ray_cluster import WorkerError, is_cluster, open_ray
from pipeline.core.ray_tasks import ONE_THREAD, TASKS_PER_CORE, result_of, run_in_flight
from pipeline.preprocess.plan import ShardTask
from pipeline.preprocess.shard import PackedShard

MAX_RETRIES = 3
"""Number of retries of a shard whose worker, node, storage or disk fails."""
_SHARD_BYTES = 64_000_000  # room for each task in flight; larger shards go to disk

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
    store_bytes = TASKS_PER_CORE * num_workers * _SHARD_BYTES
    with open_ray(num_workers, store_bytes, ONE_THREAD) as ray:
        options = {"max_retries": MAX_RETRIES, "retry_exceptions": [TemporaryError, OSError, MemoryError]}
        remote = ray.remote(num_cpus=1, **options)(_call)
        yield from run_in_flight(ray, tasks, partial(remote.remote, process), partial(_take, ray))


def _call(process: ProcessShard, task: ShardTask) -> PackedShard:
    return process(task)


def _take(ray: Any, task: ShardTask, reference: Any) -> PackedShard:
    try:
        shard: PackedShard = result_of(ray, reference)
        return shard
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        clips = ", ".join(record.clip_id for record in task.records)
        what = f"{type(error).__name__}: {str(error).strip().partition(os.linesep)[0]}"
        raise WorkerError(
            f"shard {task.name} failed {MAX_RETRIES + 1} times ({what}); its clips are {clips}"
        ) from error
