"""Upstream edges in the graph that Prefect's page shows.

Prefect also derives edges from values: it draws one from a task to any later task that takes an object which the first
one returned. Equal texts are often the same object, so these edges would connect unrelated stages. Parameters of stage
tasks are therefore quoted, and `after` names the runs before them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, PrefectTaskRunFuture
from prefect.utilities.annotations import allow_failure


class EndedRun(PrefectTaskRunFuture[Any]):
    """An ended task run or subflow, in the form in which Prefect takes the runs before a task."""

    def __init__(self, ended: State[Any]) -> None:
        super().__init__(_task_run_id(ended))
        self._final_state = ended

    def wait(self, timeout: float | None = None) -> None:
        """Return at once."""

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        return self._final_state.result(raise_on_failure=raise_on_failure) if self._final_state else None

    def add_done_callback(self, fn: Callable[[PrefectFuture[Any]], None]) -> None:
        fn(self)


def after(*ended: State[Any]) -> list[Any]:
    """The value of ``wait_for`` for a task or subflow that comes after these runs, whether or not they failed."""
    return [allow_failure(EndedRun(state)) for state in ended]


def _task_run_id(ended: State[Any]) -> Any:
    """The id of a task run. A subflow has one in its parent's graph, which only the server knows."""
    details = ended.state_details
    if details.task_run_id is not None or details.flow_run_id is None:
        return details.task_run_id
    with get_client(sync_client=True) as client:
        return client.read_flow_run(details.flow_run_id).parent_task_run_id
