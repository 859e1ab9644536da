"""What the commands of flows share: signals, reported errors, and the wait for the server's records."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import typer
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import State

from flows.console import FlowConsole
from flows.guard import start_guard, stop_guard
from flows.processes import end_children, end_everything
from flows.server import address
from pipeline.core.command_line import reported
from pipeline.core.signals import resend_lost_signals

_SETTLING_S = 20.0
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait while another flow runs in the checkout. Default: exit code 1.")
]
"""The option ``--wait`` of a flow's command."""


def run_flow_command(body: Callable[[], int], console: FlowConsole | None = None) -> int:
    """Run a command's body and return its exit code. SIGTERM and Ctrl-C unwind the body and end all child processes.

    ``console``: shows the body's flow, and prints after Ctrl-C what was stopped.
    A LipsmithError or an error of the operating system is printed as one message and becomes its exit code.
    """

    shown = console or FlowConsole()

    def unwind(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    def interrupt(signum: int, frame: FrameType | None) -> None:
        shown.interrupt()
        if address() is not None:
            unwind(signum, frame)
        # Ctrl-C also ends a temporary server, and Prefect would try to reach it for minutes.
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C kills stages without waiting
        try:
            end_everything()
            shown.print_stopped()
            stop_guard()
        finally:
            os._exit(128 + signum)

    start_guard()
    signal.signal(signal.SIGTERM, unwind)
    resend_lost_signals()
    before = signal.signal(signal.SIGINT, interrupt)
    atexit.register(shown.print_stopped)  # runs after end_children
    atexit.register(end_children)  # runs after Prefect's own exit handlers, which still need the server
    try:
        return reported(body, lambda error: sys.stderr.write(f"{error}\n"))
    finally:
        signal.signal(signal.SIGINT, before)


def settle(state: State[Any]) -> None:
    """Wait until the server has recorded the final state of every task of an ended flow run and its subflows.

    The server records with a delay, and a temporary server ends with this process. States that it has not recorded by
    then are lost, and each prints a traceback. Waits at most `_SETTLING_S`.
    """
    flow_run_id = state.state_details.flow_run_id
    if flow_run_id is None:
        return
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))
    deadline = time.monotonic() + _SETTLING_S
    before = None
    with get_client(sync_client=True) as client:
        ids = [flow_run_id, *(run.id for run in client.read_flow_runs(flow_run_filter=below))]
        of_these = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=ids))
        while time.monotonic() < deadline:
            runs = client.read_task_runs(task_run_filter=of_these)
            recorded = {run.id: run.state_type for run in runs}
            if recorded == before and all(run.state is not None and run.state.is_final() for run in runs):
                return
            before = recorded
            time.sleep(1)
