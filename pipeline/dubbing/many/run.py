"""Runs a list of dubs, continues an interrupted run, and keeps the rows."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import atomic
from pipeline.core.choices import Device
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.core.locks import locked_or_refused
from pipeline.core.ray_cluster import is_cluster
from pipeline.core.resources import num_cores
from pipeline.dubbing.generator_folder import generator_folder
from pipeline.dubbing.many.job_list import DubJob, ListedJob, read_jobs
from pipeline.dubbing.many.job_rows import JobRow, JobRows
from pipeline.dubbing.many.worker import JobOutcome, WorkerSetup
from pipeline.dubbing.many.workers import run_jobs
from pipeline.dubbing.sync_score import DUB_JUDGE
from pipeline.params import load_params
from pipeline.params.edit import replace_values
from pipeline.report.progress import Progress

logger = logging.getLogger(__name__)

_FACE_SETTINGS = ("detector_score", "detector_max_px", "max_gap_frames", "smooth_frames", "cut_change")


@dataclass(frozen=True)
class FinishedJobs:
    """The rows of a list in its order, and how many of them are from an earlier run. ``path``: the file with them."""

    rows: Sequence[JobRow]
    num_reused: int
    path: Path


def rows_path(jobs: Path) -> Path:
    """The file for the rows of a list, beside it: ``jobs.csv`` -> ``jobs.results.jsonl``."""
    return jobs.with_name(f"{jobs.stem}.results.jsonl")


def dub_jobs(
    jobs: Path, layout: Layout, model: str | Path, *, device: Device, num_workers: int, is_scored: bool
) -> FinishedJobs:
    """Dub each job of the list that no earlier run finished, and write a row for each.

    ``model``: as in ``Dubber.load``, but no ONNX file. ``num_workers``: processes; 0 is as many as
    ``runtime.num_workers`` of params.yaml, or one per core. A job is finished if it is ok, its output still is what the
    run wrote, and neither the job nor its files nor the model have changed. Raises UserError for an unusable list or
    model, LockHeldError if another run works at the list, and the errors of ``run_jobs``. A job that fails has a row.
    """
    listed = read_jobs(jobs)
    kept = JobRows(rows_path(jobs))
    atomic.require_writable(kept.path, "the file for the rows")
    with locked_or_refused(jobs.with_name(f".{jobs.stem}.lock"), f"dub-many {jobs}"):
        num_workers = num_workers or load_params(layout.params_path).runtime.num_workers or num_cores()
        setup, model_key = _setup(layout, model, device, is_scored, is_alone=num_workers == 1 and not is_cluster())
        keys = {item.line: _job_key(item.job, model_key) for item in listed if item.job}
        rows = _finished(listed, kept.read(), keys, is_scored)
        num_reused = len(rows)
        kept.replace(rows.values())
        todo = [item for item in listed if item.line not in rows]
        usable = _spread([item for item in todo if item.job])
        with Progress("dub", len(listed), "jobs") as progress:
            progress.add(num_reused, is_fresh=False)
            if num_workers > 1:  # a single job too gets a process of its own, since it may be one that crashes
                num_workers = max(2, min(num_workers, len(usable)))
            for row in _new_rows(todo, usable, setup, num_workers, keys):
                rows[row.line] = row
                kept.append(row)
                progress.add(note=f"{sum(not row.ok for row in rows.values())} failed")
        kept.replace(rows.values())
    return FinishedJobs([rows[item.line] for item in listed], num_reused, kept.path)


def _new_rows(
    todo: Sequence[ListedJob],
    usable: Sequence[ListedJob],
    setup: WorkerSetup,
    num_workers: int,
    keys: dict[int, str],
) -> Iterator[JobRow]:
    yield from (_row(item, JobOutcome(reason=item.reason), None) for item in todo if not item.job)
    if usable:
        with closing(run_jobs(usable, setup, num_workers)) as finished:
            for item, outcome in finished:
                if outcome.bug:
                    logger.error("line %d: %s", item.line, outcome.bug)
                yield _row(item, outcome, keys[item.line])


def _setup(
    layout: Layout, model: str | Path, device: Device, is_scored: bool, *, is_alone: bool
) -> tuple[WorkerSetup, dict[str, Any]]:
    """The setup of the workers, and the part of it that outputs depend on. Several workers use one thread each."""
    text = layout.params_path.read_text()
    params = load_params(layout.params_path)
    if not is_alone:
        text, _ = replace_values(text, {"runtime.num_threads": 1})
    cache_dir = layout.scratch_dir / "faces"
    cache_dir.mkdir(parents=True, exist_ok=True)
    with generator_folder(layout, model) as folder:
        if folder.is_file():
            raise UserError(f"{folder} is an ONNX file; dub-many needs the folder of a saved generator")
        files = {path.name: np.fromfile(path, np.uint8) for path in sorted(folder.iterdir()) if path.is_file()}
    setup = WorkerSetup(
        params_text=text, model=files, device=device, cache_dir=cache_dir.absolute(), is_scored=is_scored
    )
    model_key = {name: hashlib.sha256(content.data).hexdigest() for name, content in files.items()}
    return setup, {"model": model_key, "faces": {name: getattr(params.preprocess, name) for name in _FACE_SETTINGS}}


def _job_key(job: DubJob, model_key: dict[str, Any]) -> str:
    """Digest of a job, the sizes and times of its files, and the model."""
    files = [(str(path), _stamps(path)) for path in job.inputs]
    return hashlib.sha256(json.dumps([asdict(job), files, model_key], sort_keys=True, default=str).encode()).hexdigest()


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of a file, or of the files of a folder; empty if there is none."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [(file.name, file.stat()) for file in files]
    except OSError:
        return []
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def _finished(
    listed: Sequence[ListedJob], earlier: Sequence[JobRow], keys: dict[int, str], is_scored: bool
) -> dict[int, JobRow]:
    """The rows that stay, by line."""
    by_key = {row.key: row for row in earlier if row.ok}
    rows: dict[int, JobRow] = {}
    for item in listed:
        row = by_key.get(keys.get(item.line))
        if item.job and row and _size(item.job.out) == row.out_bytes and (row.has_score_or_reason or not is_scored):
            rows[item.line] = replace(row, line=item.line)
    return rows


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _spread(jobs: Sequence[ListedJob]) -> list[ListedJob]:
    """The jobs in an order in which those with one face video are far apart.

    The first of them stores the detections, which the others then read.
    """
    seen: Counter[Path] = Counter()
    rounds: dict[int, int] = {}
    for item in jobs:
        assert item.job is not None
        rounds[item.line] = seen[item.job.face]
        seen[item.job.face] += 1
    return sorted(jobs, key=lambda item: (rounds[item.line], item.line))


def _row(item: ListedJob, outcome: JobOutcome, key: str | None) -> JobRow:
    failed = JobRow(
        line=item.line,
        face=item.fields["face"],
        audio=item.fields.get("audio", ""),
        out=item.fields["out"],
        ok=False,
        reason=outcome.reason,
        seconds=round(outcome.seconds, 3),
    )
    summary = outcome.summary
    if item.job is None or summary is None:
        if is_cluster() and outcome.missing and outcome.missing.exists():
            advice = "put it on a disk that all nodes mount at this path"
            reason = f"{outcome.missing} exists on this machine, but not on the Ray node; {advice}"
            return replace(failed, reason=reason)
        return failed
    out_bytes = _size(item.job.out)
    if out_bytes is None:
        return replace(failed, reason=f"{item.job.out} was written on a node that shares no disk with this machine")
    score = outcome.score
    return replace(
        failed,
        ok=True,
        num_frames=summary.num_frames,
        num_dubbed=summary.num_dubbed,
        num_missing=summary.num_missing,
        faces=[asdict(face) for face in summary.faces],
        notes=list(summary.notes),
        judge=None if score is None else DUB_JUDGE,
        lse_c=None if score is None else score.lse_c,
        lse_d=None if score is None else score.lse_d,
        offset_frames=None if score is None else score.found_offset,
        no_score=outcome.no_score,
        key=key,
        out_bytes=out_bytes,
    )
