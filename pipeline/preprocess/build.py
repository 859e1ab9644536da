"""Builds all shards of a manifest in parallel. The bytes do not depend on the number of workers.

Only the calling process writes files. Finished shards stay in a work folder until all are complete.
"""

from __future__ import annotations

import functools
import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.core.ray_cluster import is_cluster
from pipeline.core.resources import num_cores
from pipeline.corpora.manifest import ClipRecord
from pipeline.corpora.storage import local_path
from pipeline.faces.crops import CROP_PX
from pipeline.params import PreprocessParams
from pipeline.preprocess.plan import ShardResult, ShardTask, plan_shards
from pipeline.preprocess.reasons import Reason
from pipeline.preprocess.shard import PackedShard, process_shard
from pipeline.preprocess.workers import run_tasks
from pipeline.report.progress import Progress
from pipeline.shards.index import IndexRow, Reject
from pipeline.shards.write import write_index, write_rejects

logger = logging.getLogger(__name__)


class UnseenClipsError(UserError):
    """Clips exist on this machine, but not on the Ray node that processed them."""


def build_shards(
    records: Sequence[ClipRecord],
    params: PreprocessParams,
    seed: int,
    *,
    root: Path,
    output_dir: Path,
    work_dir: Path,
    num_workers: int = 0,
    crop_px: int = CROP_PX,
) -> tuple[list[IndexRow], list[Reject]]:
    """Write shards, ``index.parquet`` and ``rejects.parquet`` to ``output_dir``; returns the rows of both tables.

    ``crop_px``: side of the face crops in pixels. ``num_workers`` 0 means one per core. If RAY_ADDRESS is set, the
    cluster's cores are used instead. An interrupted run reuses the finished shards in ``work_dir``, so use one
    ``work_dir`` per set of records, parameters and code. Every record becomes index rows, rejects, or both. Raises
    UnseenClipsError, and the errors of ``run_tasks``.
    """
    root, work_dir = root.resolve(), work_dir.resolve()
    tasks = plan_shards(records, params.clips_per_shard, seed)
    finished = {task.name: found for task in tasks if (found := _finished(work_dir, task))}
    if finished:
        logger.info("reusing %d of %d shards from an earlier run", len(finished), len(tasks))
    todo = [task for task in tasks if task.name not in finished]
    process = functools.partial(process_shard, params=params, root=root, crop_px=crop_px)
    num_clips = {task.name: len(task.records) for task in tasks}
    with Progress("preprocess", len(records)) as progress:
        num_rejects = sum(len(result.rejects) for result in finished.values())
        num_reused = sum(num_clips[name] for name in finished)
        num_frames = 0
        progress.add(num_reused, is_fresh=False, note=f"{num_rejects} rejected")
        with closing(run_tasks(todo, process, num_workers or num_cores())) as fresh:
            for packed in fresh:
                result = packed.result
                if is_cluster():
                    _require_shared_storage(result, root)
                _keep(packed, work_dir)
                del packed  # frees its tar in Ray's object store
                num_rejects += len(result.rejects)
                num_frames += sum(row.num_frames for row in result.rows)
                note = f"{num_rejects} rejected, {num_frames / progress.seconds:.0f} frames/s"
                progress.add(num_clips[result.name], note=note)
                finished[result.name] = result
    results = [finished[task.name] for task in tasks]
    rows = [row for result in results for row in result.rows]
    rejects = [reject for result in results for reject in result.rejects]
    assert len(rows) + len(rejects) >= len(records)
    _publish(results, work_dir, output_dir)
    write_index(output_dir, rows)
    write_rejects(output_dir, rejects)
    for reason, count in Counter(reject.reason for reject in rejects).most_common():
        logger.warning("%d of %d clips and segments rejected: %s", count, len(rows) + len(rejects), reason)
    return rows, rejects


def _require_shared_storage(result: ShardResult, root: Path) -> None:
    missing = [reject.path for reject in result.rejects if reject.reason == Reason.MISSING_FILE]
    unseen = [name for name in missing if (path := local_path(name, root)) and path.is_file()]
    if unseen:
        raise UnseenClipsError(
            f"{len(unseen)} clips of shard {result.name} exist on this machine, but not on the Ray node that processed "
            f"the shard (first: {unseen[0]}): put the clips on storage that all nodes mount at the same path, or use "
            "fsspec URLs such as s3://bucket/clip.mp4 in the manifest"
        )


def _keep(packed: PackedShard, work_dir: Path) -> None:
    """Write a shard's tar, then its JSON result, which marks the shard as finished."""
    result, tar = packed
    if tar is not None:
        atomic.write_bytes(work_dir / result.name, tar.data)
    atomic.write_json(_result_path(work_dir, result.name), asdict(result))


def _result_path(work_dir: Path, name: str) -> Path:
    return (work_dir / name).with_suffix(".json")


def _finished(work_dir: Path, task: ShardTask) -> ShardResult | None:
    """The result of a shard that an earlier run finished, or None."""
    path = _result_path(work_dir, task.name)
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    rows = tuple(IndexRow(**row) for row in content["rows"])
    if rows and not (work_dir / task.name).is_file():
        return None
    return ShardResult(task.name, rows, tuple(Reject(**reject) for reject in content["rejects"]))


def _publish(results: Sequence[ShardResult], work_dir: Path, output_dir: Path) -> None:
    """Empty ``output_dir`` and move the tars into it."""
    shutil.rmtree(output_dir, ignore_errors=True)
    for result in results:
        if result.rows:
            target = output_dir / result.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(work_dir / result.name, target)
            _result_path(work_dir, result.name).unlink()
