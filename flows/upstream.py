"""Upstream edges in the graph that Prefect's page shows.

Prefect also derives edges from values: it draws one from a task to any later task that takes an object which the first
one returned. Equal texts are often the same object, so these edges would connect unrelated stages. Parameters of stage
tasks are therefore quoted, and `after` names the runs before them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, PrefectTaskRunFuture
from prefect.utilities.annotations import allow_failure


class EndedRun(PrefectTaskRunFuture[Any]):
    """An ended task run or subflow, in the form in which Prefect takes the runs before a task."""

    def __init__(self, ended: State[Any]) -> None:
        super().__init__(_node_id(ended))
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


def _node_id(ended: State[Any]) -> UUID:
    """The id of the run's node in the graph of the flow run that calls this.

    A subflow has two: that of its flow run, which the graph shows, and that of a task run, which it does not show.
    """
    details, context = ended.state_details, FlowRunContext.get()
    flow_run = context.flow_run if context else None
    is_subflow = flow_run is not None and details.flow_run_id != flow_run.id
    found = details.flow_run_id if is_subflow else details.task_run_id
    if found is None:
        raise ValueError("the state belongs to no run of this server")
    return found
