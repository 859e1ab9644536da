"""Runs jobs in this process, on several cores or on a Ray cluster. Each process loads the model once."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

from pipeline.core.choices import Device
from pipeline.core.ray_cluster import WorkerError, is_cluster, open_ray
from pipeline.core.ray_tasks import ONE_THREAD, num_slots, result_of, run_in_flight
from pipeline.dubbing.many.job_list import DubJob, ListedJob
from pipeline.dubbing.many.worker import JobOutcome, JobWorker, WorkerSetup

MAX_CRASHES = 2
"""A job that ends this many worker processes has failed."""

_workers: dict[str, JobWorker] = {}
"""The worker of this process, by the key of its setup."""


def run_jobs(
    jobs: Sequence[ListedJob], setup: WorkerSetup, num_workers: int
) -> Generator[tuple[ListedJob, JobOutcome], None, None]:
    """Yields the jobs with their outcomes in order of completion. Every item must have a job.

    One worker runs in this process, several run in Ray. A cluster uses all its cores. Raises the errors of
    ``Dubber.load``, and WorkerError if Ray fails.
    """
    if num_workers == 1 and not is_cluster():
        for listed in jobs:
            assert listed.job is not None
            yield listed, _run(setup, setup.key, listed.job)
        return
    store_bytes = 2 * sum(content.nbytes for content in setup.model.values())
    with open_ray(num_workers, store_bytes, ONE_THREAD) as ray:
        options = {"max_retries": MAX_CRASHES - 1, "num_cpus": 1, "num_gpus": _gpu_share(ray, setup.device)}
        remote = ray.remote(**options)(_run_stored)
        stored = [ray.put(setup)]  # in a list, a task gets the reference, and reads the model only to load it

        def start(listed: ListedJob) -> Any:
            assert listed.job is not None
            return remote.remote(stored, setup.key, listed.job)

        yield from run_in_flight(ray, jobs, start, partial(_take, ray))


def _run_stored(stored: Sequence[Any], key: str, job: DubJob) -> JobOutcome:
    """The task of Ray."""
    import ray

    return _run(None if key in _workers else ray.get(stored[0]), key, job)


def _run(setup: WorkerSetup | None, key: str, job: DubJob) -> JobOutcome:
    """Run a job with the worker of this process. ``setup`` may be None if that worker exists."""
    if key not in _workers:
        assert setup is not None
        _workers.clear()
        _workers[key] = JobWorker(setup)
    return _workers[key](job)


def _gpu_share(ray: Any, device: Device) -> float:
    """The share of a GPU that a worker reserves, so that the workers spread over all GPUs."""
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    if device == "cpu" or not num_gpus:
        return 0.0
    return min(1.0, int(10_000 * num_gpus / max(1, num_slots(ray))) / 10_000)


def _take(ray: Any, listed: ListedJob, reference: Any) -> tuple[ListedJob, JobOutcome]:
    lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.ObjectLostError)
    try:
        return listed, result_of(ray, reference)
    except ray.exceptions.RayTaskError:
        raise
    except lost as error:
        what = f"{type(error).__name__}: {str(error).strip().partition(os.linesep)[0]}"
        return listed, JobOutcome(reason=f"its worker process ended {MAX_CRASHES} times ({what})")
    except ray.exceptions.RayError as error:
        raise WorkerError(f"Ray failed; the same command continues the list: {error}") from error
