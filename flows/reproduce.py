"""Flow ``reproduce``: one task per stage of DVC's graph; independent stages run in parallel."""

from __future__ import annotations

import atexit
import contextvars
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Protocol

import typer
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows import dvc, tasks
from flows.board import current_board
from flows.console import FlowConsole
from flows.estimate import read_durations, record_duration
from flows.guard import start_guard, stop_guard
from flows.key_figures import key_figure
from flows.occupancy import CheckoutBusyError, occupying
from flows.processes import ENDING_S, end_children, end_commands_by, end_everything
from flows.server import address, require_server
from flows.tasks import StageResult
from pipeline.core.command_line import reported, run_command
from pipeline.core.errors import LipsmithError, UserError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import is_terminal
from pipeline.core.resources import available_bytes, num_cores
from pipeline.params import Params, load_params
from pipeline.params.sharing import require_sharing_allowed
from pipeline.report.tables import Table, wrap_bullets

_MOST_JOBS = 8
_JOB_BYTES = 8 * 2**30
"""Memory of one training job of width 1 on a CPU, with a margin."""
_LEAST_JOB_BYTES = 2 * 2**30
_SETTLING_S = 20.0


class RunStage(Protocol):
    def __call__(self, stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult: ...


def walk(
    graph: dvc.StageGraph,
    reasons: Mapping[str, str],
    run_stage: RunStage,
    *,
    most_jobs: int,
    shares: Mapping[str, int],
) -> list[StageResult]:
    """Run every stage after its upstream stages, at most ``most_jobs`` at a time, each in its own thread.

    ``reasons``: stale stage -> reason. ``shares``: stage -> number of cores. A failed stage skips only the stages
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
        is_followed = any(b.outcome != "up_to_date" and b.stage != dvc.CODE_STAGE for b in before)
        reason = reasons.get(stage, None if is_followed else "")
        blocked_by = [b.stage for b in before if b.outcome == "failed"]
        for b in before:
            blocked_by += [failed for failed in failed_before.get(b.stage, []) if failed not in blocked_by]
        failed_before[stage] = blocked_by

        def work() -> None:
            end_commands_by(stopping)
            try:
                ended.put(run_stage(stage, reason=reason, blocked_by=blocked_by, share=shares[stage]))
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


def num_jobs(params: Params) -> int:
    """How many stages may run in parallel: ``runtime.num_jobs``, or for 0 a number that fits this machine.

    For 0 the number is bounded by cores, free memory and 8. It is 1 if a training run uses a GPU or several processes.
    """
    import torch  # imported here because the import takes seconds

    runtime = params.runtime
    if runtime.num_jobs:
        return runtime.num_jobs
    takes_gpu = runtime.device == "cuda" or (runtime.device == "auto" and torch.cuda.is_available())
    if takes_gpu or runtime.num_processes > 1:
        return 1
    free_bytes = available_bytes()
    job_bytes = max(_LEAST_JOB_BYTES, int(_JOB_BYTES * params.train_gan.width))
    return max(1, min(num_cores(), free_bytes // job_bytes, _MOST_JOBS))


def shares_of(graph: dvc.StageGraph, most_jobs: int, cores: int) -> dict[str, int]:
    """Number of cores for each stage: an equal share among the stages of its wave that may run in parallel.

    The share does not depend on which stages are stale. On a CPU, the number of threads affects rounding, and variants
    that are compared should be rounded alike.
    """
    return {stage: max(1, cores // min(most_jobs, len(wave))) for wave in graph.waves() for stage in wave}


@flow(name="reproduce", persist_result=False)
def reproduce(root: str | None = None, targets: list[str] | None = None) -> State[Any]:
    """Bring the pipeline up to date and return a state that holds the list of StageResult.

    ``root``: a checkout; default: the checkout that contains the working directory. ``targets``: stages to bring up to
    date; default: all. The state is Cancelled if another flow is running in the checkout.
    """
    checkout = _checkout(root)
    try:
        with occupying(checkout, "reproduce"):
            return _reproduce(checkout, targets)
    except CheckoutBusyError as error:
        return Cancelled(message=str(error))


def _reproduce(checkout: Path, targets: list[str] | None) -> State[Any]:
    whole = _graph(checkout, None)
    graph = whole.restricted_to(targets) if targets else whole

    layout, board = Layout(checkout), current_board()

    def run_task(stage: str, *, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
        result = _run_task(checkout, stage, reason, blocked_by, share)
        _finish_row(checkout, result)
        return result

    most_jobs = num_jobs(load_params(layout.params_path))
    shares = shares_of(whole, most_jobs, num_cores())
    reasons = tasks.read_reasons_task(checkout)
    stale = {row.stage for row in dvc.plan(graph, reasons) if row.action != "-"}
    board.expect(graph, stale, most_jobs, read_durations(layout.durations_path))
    results = walk(graph, reasons, run_task, most_jobs=most_jobs, shares=shares)
    tasks.publish_outcomes(results)
    tasks.publish_comparison(checkout, results)
    failed = [r.stage for r in results if r.outcome == "failed"]
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}", data=results)
    return Completed(message=outcome_summary(results), data=results)


def _run_task(checkout: Path, stage: str, reason: str | None, blocked_by: list[str], share: int) -> StageResult:
    state = tasks.run_stage_task(checkout, stage, reason=reason, blocked_by=blocked_by, share=share, return_state=True)
    result = state.result(raise_on_failure=False)
    if isinstance(result, StageResult):
        return result
    if state.is_failed() and isinstance(result, Exception) and not isinstance(result, LipsmithError):
        raise result  # a bug
    return StageResult(stage, "failed", str(result), 0.0)  # no retries left


def _finish_row(checkout: Path, result: StageResult) -> None:
    """Show a stage's outcome with its key metric, or why it has none. Keep how long it ran."""
    is_bad = result.outcome in ("failed", "skipped")
    text = _first_line(result.reason) if is_bad else key_figure(checkout, result.stage)
    seconds = current_board().finish(result.stage, result.outcome, text)
    if result.outcome == "ran" and seconds is not None:
        record_duration(Layout(checkout).durations_path, result.stage, seconds)


def outcome_summary(results: list[StageResult]) -> str:
    """The count of each outcome, such as ``2 ran, 12 up_to_date``."""
    outcomes = [r.outcome for r in results]
    return ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))


def comparison_summary(root: Path, results: Sequence[StageResult]) -> str:
    """The comparison's findings, scores and page, after an empty line; empty if the comparison is not up to date."""
    path = Layout(root).summary_path
    is_current = any(r.stage == "compare" and r.outcome in ("ran", "restored", "up_to_date") for r in results)
    if not (is_current and path.is_file()):
        return ""
    text = path.read_bytes().decode()
    if is_terminal(sys.stdout):
        text = wrap_bullets(text, shutil.get_terminal_size().columns)
    encoding = sys.stdout.encoding or "utf-8"  # a terminal may lack the signs of the table
    return "\n" + text.encode(encoding, "replace").decode(encoding)


def outcome_table(results: list[StageResult]) -> str:
    rows = [[r.stage, r.outcome, f"{r.seconds:.1f} s", _first_line(r.reason)] for r in results]
    return Table(["stage", "outcome", "took", "reason"], rows, num_text=4).plain()


def _first_line(reason: str) -> str:
    return reason.split("\n", 1)[0]


def plan_text(root: Path, targets: list[str] | None) -> str:
    """A table of what ``reproduce`` would do now. Starts no stage and no server."""
    rows = dvc.plan(_graph(root, targets), dvc.read_reasons(root))
    stale = [row for row in rows if row.action != "-"]
    cells = [[row.stage, row.action, _first_line(row.reason)] for row in rows]
    lines = Table(["stage", "action", "why"], cells, num_text=3).plain()
    if not stale:
        return f"{lines}\n\nNothing to do: all {len(rows)} stages are up to date."
    runs = sum(row.action == "run" for row in rows)
    return (
        f"{lines}\n\n{runs} of {len(rows)} stages run or are restored from DVC's cache, "
        f"{len(stale) - runs} run only if their inputs change."
        "\nRun them: python -m flows.reproduce"
    )


def run_flow_command(body: Callable[[], int], console: FlowConsole | None = None) -> int:
    """Run a command's body and return its exit code. SIGTERM and Ctrl-C unwind the body and end all child processes.

    ``console``: shows the body's flow, and says after Ctrl-C what was stopped.
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
            shown.say_stopped()
            stop_guard()
        finally:
            os._exit(128 + signum)

    start_guard()
    signal.signal(signal.SIGTERM, unwind)
    before = signal.signal(signal.SIGINT, interrupt)
    atexit.register(shown.say_stopped)  # runs after end_children
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


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m flows.reproduce")


def _command(
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STAGE",
            help="Stages to bring up to date, with all stages upstream, such as train_gan@lstm_cbam. Default: all.",
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print which stages would run and why. Run nothing.")] = False,
    targets: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="Same as STAGE; takes several: --targets A B.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Checkout. Default: the one that contains the working directory.")
    ] = None,
) -> int:
    """Run every stage whose inputs changed. Independent stages run in parallel (params.yaml: runtime.num_jobs).

    Exit code 0 if every stage is up to date, 1 if a stage failed, 2 for an invalid argument or setting.
    """
    wanted = [*(targets or []), *(stages or [])] or None
    console = FlowConsole()

    def body() -> int:
        checkout = _checkout(root)
        if plan:
            sys.stdout.write(plan_text(checkout, wanted) + "\n")
            return 0
        _graph(checkout, wanted)  # an unknown stage is reported before a server starts
        require_server()
        with console.show(checkout):
            state = reproduce(str(checkout), wanted, return_state=True)
        results = state.result(raise_on_failure=False)
        if isinstance(results, list):
            sys.stdout.write(outcome_table(results) + "\n")
        if notes := console.closing_text(checkout):
            sys.stdout.write(f"\n{notes}\n\n")
        sys.stdout.write(f"{state.message}\n")
        if isinstance(results, list):
            sys.stdout.write(comparison_summary(checkout, results))
        settle(state)
        return 0 if state.is_completed() else 1

    return run_flow_command(body, console)


def require_settings(root: Path) -> None:
    """Raise UserError for settings that every stage would reject.

    These are an invalid ``params.yaml``, no folder of the clips, and a ``dvc.yaml`` that shares what it must not.
    """
    path = Layout(root).params_path
    params = load_params(path)
    if unset := params.dataset.unset_root:
        raise UserError(f"{path}: {unset} is not set; set it to the folder that holds your clips")
    require_sharing_allowed(root / "dvc.yaml", params)


def _checkout(root: str | Path | None) -> Path:
    return find_root(Path(root) if root else None)


def _graph(root: Path, targets: list[str] | None) -> dvc.StageGraph:
    """The graph restricted to ``targets``; None: all. Raises UserError for settings that a stage would reject."""
    if (root / "params.yaml").is_file():
        require_settings(root)
    graph = dvc.read_graph(root)
    return graph.restricted_to(targets) if targets else graph


if __name__ == "__main__":
    raise SystemExit(main())
