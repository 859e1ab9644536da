"""All shards of a manifest, on one core or many: one Ray task per shard, the same bytes for any number of workers.

Frames never leave the worker that decoded them: a task gets clip records and writes a tar.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline import atomic
from pipeline.cores import num_cores
from pipeline.manifest import ClipRecord
from pipeline.media.faces import limit_opencv_threads
from pipeline.params import PreprocessParams
from pipeline.preprocess.clip import process_clip
from pipeline.preprocess.plan import ShardResult, ShardTask, plan_shards
from pipeline.preprocess.progress import BuildProgress
from pipeline.shards.write import (
    ClipSample,
    IndexRow,
    Reject,
    write_index,
    write_rejects,
    write_shard,
)

log = logging.getLogger(__name__)

MAX_RETRIES = 3
"""How often a shard is tried again when its worker dies."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_OBJECT_STORE_BYTES = 100_000_000
_TASKS_PER_WORKER = 2


class WorkerError(Exception):
    """A shard's worker died again and again, or the Ray cluster is gone."""


ProcessShard = Callable[[ShardTask], ShardResult]


def build_shards(
    records: Sequence[ClipRecord],
    params: PreprocessParams,
    seed: int,
    *,
    root: Path,
    output_dir: Path,
    work_dir: Path,
    num_workers: int = 0,
) -> tuple[list[IndexRow], list[Reject]]:
    """Write shards, ``index.parquet`` and ``rejects.parquet`` to ``output_dir``; returns their rows.

    ``num_workers`` 0 means one per core. Finished shards wait in ``work_dir``: a run that was cut short goes on from
    them, so ``work_dir`` must belong to exactly these records, parameters and code. Every record becomes index
    rows, rejects, or both. Raises WorkerError where processes keep dying.
    """
    root, work_dir = root.resolve(), work_dir.resolve()
    tasks = plan_shards(records, params.clips_per_shard, seed)
    finished = {task.name: found for task in tasks if (found := _finished(work_dir, task))}
    if finished:
        log.info("%d of %d shards are there from an earlier run", len(finished), len(tasks))
    todo = [task for task in tasks if task.name not in finished]
    process = functools.partial(process_shard, params=params, root=root, work_dir=work_dir)
    with BuildProgress(len(records)) as progress:
        for result in finished.values():
            progress.add(result, was_reused=True)
        with closing(run_tasks(todo, process, num_workers or num_cores())) as fresh:
            for result in fresh:
                progress.add(result, was_reused=False)
                finished[result.name] = result
    results = [finished[task.name] for task in tasks]
    rows = [row for result in results for row in result.rows]
    rejects = [reject for result in results for reject in result.rejects]
    assert len(rows) + len(rejects) >= len(records)
    _publish(results, work_dir, output_dir)
    write_index(output_dir, rows)
    write_rejects(output_dir, rejects)
    for reason, count in Counter(reject.reason for reject in rejects).most_common():
        log.warning("%d of %d clips rejected: %s", count, len(rows) + len(rejects), reason)
    return rows, rejects


def process_shard(task: ShardTask, params: PreprocessParams, root: Path, work_dir: Path) -> ShardResult:
    """Process a shard's clips one after another on one thread and write its tar, unless all were rejected."""
    rejects: list[Reject] = []

    def samples() -> Iterator[ClipSample]:
        for made in chain.from_iterable(process_clip(record, params, root) for record in task.records):
            if isinstance(made, Reject):
                rejects.append(made)
            else:
                yield made

    with _one_opencv_thread():
        kept = samples()
        first = next(kept, None)
        rows = write_shard(work_dir, task.name, chain([first], kept)) if first else []
    result = ShardResult(task.name, tuple(rows), tuple(rejects))
    atomic.write_json(_note_path(work_dir, task.name), asdict(result))
    return result


def run_tasks(tasks: Sequence[ShardTask], process: ProcessShard, num_workers: int) -> Generator[ShardResult]:
    """Results as they are finished. One worker runs here, more run in Ray, as does any number with RAY_ADDRESS set."""
    if not tasks:
        return
    if "RAY_ADDRESS" not in os.environ and min(num_workers, len(tasks)) == 1:
        for task in tasks:
            yield process(task)
        return
    with _ray(min(num_workers, len(tasks))) as ray:
        remote = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_call)
        slots = int(ray.cluster_resources().get("CPU", num_workers))
        waiting = list(reversed(tasks))
        running: dict[Any, ShardTask] = {}
        while waiting or running:
            while waiting and len(running) < _TASKS_PER_WORKER * slots:
                task = waiting.pop()
                running[remote.remote(process, task)] = task
            (done,), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError as error:
                clips = ", ".join(record.clip_id for record in task.records)
                raise WorkerError(
                    f"the worker of shard {task.name} died {MAX_RETRIES + 1} times ({type(error).__name__}); "
                    f"its clips are {clips}"
                ) from error
            yield result


def _call(process: ProcessShard, task: ShardTask) -> ShardResult:
    return process(task)


@contextmanager
def _ray(num_workers: int) -> Iterator[Any]:
    """Ray: the cluster of RAY_ADDRESS, or one of our own on this machine that ends with the block."""
    is_local = "RAY_ADDRESS" not in os.environ
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if is_local:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp")) if is_local else None  # socket paths must be short
    if folder:
        options |= {
            "num_cpus": num_workers,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_temp_dir": str(folder),
        }
    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(runtime_env={"env_vars": _ONE_THREAD}, **options)
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # ray.init put its own there
        yield ray
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    before = limit_opencv_threads(1)
    try:
        yield
    finally:
        limit_opencv_threads(before)


def _note_path(work_dir: Path, name: str) -> Path:
    return (work_dir / name).with_suffix(".json")


def _finished(work_dir: Path, task: ShardTask) -> ShardResult | None:
    """The result of a shard that an earlier run completed: its note is written after its tar."""
    path = _note_path(work_dir, task.name)
    if not path.is_file():
        return None
    note = json.loads(path.read_text())
    rows = tuple(IndexRow(**row) for row in note["rows"])
    if rows and not (work_dir / task.name).is_file():
        return None
    return ShardResult(task.name, rows, tuple(Reject(**reject) for reject in note["rejects"]))


def _publish(results: Sequence[ShardResult], work_dir: Path, output_dir: Path) -> None:
    """Move the tars into an emptied ``output_dir``."""
    shutil.rmtree(output_dir, ignore_errors=True)
    for result in results:
        if result.rows:
            target = output_dir / result.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(work_dir / result.name, target)
            _note_path(work_dir, result.name).unlink()
