"""Runs tasks on a local Ray instance or a cluster, with a limited number of them in flight."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from pipeline.core.errors import exit_code_of
from pipeline.core.resources import THREAD_VARIABLES

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

TASKS_PER_CORE = 2
"""Tasks in flight per core: one that runs, and one that waits or whose result is not taken yet."""
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
"""Environment of workers that share the cores."""
_PATIENCE_S = 60.0


def num_slots(ray: Any) -> int:
    """The number of cores that Ray has at present."""
    return int(ray.cluster_resources().get("CPU", 0))


def run_in_flight(
    ray: Any, tasks: Sequence[Task], start: Callable[[Task], Any], take: Callable[[Task, Any], Outcome]
) -> Generator[Outcome, None, None]:
    """Yields the results of the tasks in order of completion.

    ``start`` submits a task to Ray and returns the reference to its result. ``take`` returns the result of a task from
    the reference. No reference is kept afterwards, so that Ray can free the memory of the result.
    """
    waiting = list(reversed(tasks))
    running: dict[Any, Task] = {}
    while waiting or running:
        while waiting and len(running) < TASKS_PER_CORE * max(1, num_slots(ray)):
            task = waiting.pop()
            running[start(task)] = task
        while not (done := ray.wait(list(running), num_returns=1, timeout=_PATIENCE_S)[0]):
            if not num_slots(ray):
                logger.warning("the Ray cluster has no core at present: %d tasks are waiting", len(running))
        task = running.pop(done[0])
        yield take(task, done.pop())


def result_of(ray: Any, reference: Any) -> Any:
    """The result of a task.

    Raises the task's own error if it has an exit code, RayTaskError with the worker's traceback for a bug, and another
    RayError if Ray lost the task.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if exit_code_of(error.cause) is not None:
            raise error.cause from None
        raise
