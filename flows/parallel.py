"""The walk over the stage graph: which stages run at once, and with how many cores."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from flows import dvc
from flows.processes import ENDING_S, end_commands_by
from flows.staleness import CODE_STAGE
from flows.tasks import StageResult
from pipeline.core.resources import available_bytes, num_cores
from pipeline.params import Params

_MOST_JOBS = 8
_JOB_BYTES = 8 * 2**30
"""Memory of one training job of width 1 on a CPU, with a margin."""
_LEAST_JOB_BYTES = 2 * 2**30


class RunStage(Protocol):
    def __call__(self, stage: str, *, reason: str | None, blocked_by: list[str], num_cores: int) -> StageResult: ...


def walk(
    graph: dvc.StageGraph,
    reasons: Mapping[str, str],
    run_stage: RunStage,
    *,
    most_jobs: int,
    cores: Mapping[str, int],
) -> list[StageResult]:
    """Run every stage after its upstream stages, at most ``most_jobs`` at a time, each in its own thread.

    ``reasons``: stale stage -> reason. ``cores``: stage -> number of cores. A failed stage skips only the stages
    downstream of it. Returns the results in the order in which the stages ended. An exception in this call or in
    ``run_stage`` ends the running stages and is raised.
    """
    results: dict[str, StageResult] = {}
    failed_before: dict[str, list[str]] = {}
    waiting = [stage for wave in graph.waves() for stage in wave]
    ended: queue.Queue[StageResult | BaseException] = queue.Queue()
    threads: list[threading.Thread] = []
    stopping = threading.Event()

    def start(stage: str) -> None:
        before = [results[b] for b in graph.upstream[stage]]
        is_followed = any(b.outcome != "up_to_date" and b.stage != CODE_STAGE for b in before)
        reason = reasons.get(stage, None if is_followed else "")
        blocked_by = [b.stage for b in before if b.outcome == "failed"]
        for b in before:
            blocked_by += [failed for failed in failed_before.get(b.stage, []) if failed not in blocked_by]
        failed_before[stage] = blocked_by

        def work() -> None:
            end_commands_by(stopping)
            try:
                ended.put(run_stage(stage, reason=reason, blocked_by=blocked_by, num_cores=cores[stage]))
            except BaseException as error:
                ended.put(error)

        # The copied context holds Prefect's current flow run. A daemon thread does not delay the interpreter's exit.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name=stage, daemon=True)
        thread.start()
        threads.append(thread)

    try:
        while len(results) < len(graph.upstream):
            ready = [stage for stage in waiting if all(b in results for b in graph.upstream[stage])]
            for stage in ready[: most_jobs - (len(threads) - len(results))]:
                waiting.remove(stage)
                start(stage)
            result = ended.get()
            if isinstance(result, BaseException):
                raise result
            results[result.stage] = result
    except BaseException:
        stopping.set()
        deadline = time.monotonic() + ENDING_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise
    return list(results.values())


def num_jobs(params: Params, gpus: Sequence[str]) -> int:
    """How many stages may run in parallel: ``runtime.num_jobs``, or for 0 a number that fits this machine.

    For 0 the number is 1 if a training run uses several processes, the number of ``gpus`` if it uses a GPU, and bounded
    by free memory on a CPU. It is at most the number of cores and 8.
    """
    runtime = params.runtime
    if runtime.num_jobs:
        return runtime.num_jobs
    if runtime.num_processes > 1:
        return 1
    if gpus or runtime.device == "cuda":
        return max(1, min(len(gpus), num_cores(), _MOST_JOBS))
    free_bytes = available_bytes()
    job_bytes = max(_LEAST_JOB_BYTES, int(_JOB_BYTES * params.train_gan.width))
    return max(1, min(num_cores(), free_bytes // job_bytes, _MOST_JOBS))


def cores_of_stages(graph: dvc.StageGraph, most_jobs: int, total: int) -> dict[str, int]:
    """Number of cores for each stage: equal among the stages of its wave that may run in parallel.

    It does not depend on which stages are stale. On a CPU, the number of threads affects rounding, and variants
    that are compared should be rounded alike.
    """
    return {stage: max(1, total // min(most_jobs, len(wave))) for wave in graph.waves() for stage in wave}
