"""Flow ``reproduce``: one task per stage of DVC's graph; independent stages run in parallel."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows import dvc, staleness, tasks
from flows.board import current_board
from flows.checkout import current_checkout, working_in
from flows.command import WaitOption, run_flow_command, settle
from flows.console import FlowConsole
from flows.estimate import read_durations, record_duration
from flows.gpus import GpuShares, gpus_of
from flows.key_figures import key_figure
from flows.occupancy import CheckoutBusyError, occupying
from flows.overrides import ParamValues
from flows.parallel import cores_of_stages, num_jobs, walk
from flows.server import require_server
from flows.tasks import StageResult
from flows.upstream import after
from pipeline.core.command_line import RootOption, run_command
from pipeline.core.durations import duration_text
from pipeline.core.errors import LipsmithError, UserError, first_line
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import is_terminal
from pipeline.core.resources import num_cores
from pipeline.params import load_params
from pipeline.params.clip_roots import require_clips_outside_outputs
from pipeline.params.sharing import require_sharing_allowed
from pipeline.report.tables import Table, wrap_bullets


@flow(name="reproduce", persist_result=False)
def reproduce(targets: list[str] | None = None, overrides: ParamValues | None = None, wait: bool = False) -> State[Any]:
    """Bring the pipeline up to date.

    Args:
        targets: Stages to bring up to date, with all stages upstream, such as train_gan@lstm_cbam. Empty: all stages.
        overrides: Values of params.yaml to change before the run, such as {"train_gan.num_steps": 600}. The file keeps
            them.
        wait: Wait while another flow runs in the checkout. Otherwise this run is then cancelled.

    Returns:
        A state that holds the list of StageResult.
    """
    checkout = current_checkout()
    try:
        with occupying(checkout, "reproduce", tasks.flow_logger().info if wait else None):
            if overrides:
                tasks.override_params(checkout, overrides)
            return _reproduce(checkout, targets or None)
    except CheckoutBusyError as error:
        return Cancelled(message=str(error))


def _reproduce(checkout: Path, targets: list[str] | None) -> State[Any]:
    whole = _graph(checkout, None)
    graph = whole.restricted_to(targets) if targets else whole

    layout, board = Layout(checkout), current_board()
    params = load_params(layout.params_path)
    gpus = gpus_of(params.runtime) if params.runtime.num_processes == 1 else []
    most_jobs, gpu_shares = num_jobs(params, gpus), GpuShares(gpus)
    cores = cores_of_stages(whole, most_jobs, num_cores())
    last_run = read_durations(layout.durations_path)
    status = tasks.read_reasons_task(checkout, return_state=True)
    reasons = status.result()
    ended: dict[str, State[Any]] = {}

    def run_task(stage: str, *, reason: str | None, blocked_by: list[str], num_cores: int) -> StageResult:
        before = [ended[b] for b in dict.fromkeys(graph.upstream[stage])] or [status]
        with gpu_shares.one() as environment:
            inputs = {"reason": reason, "blocked_by": blocked_by, "num_cores": num_cores, "environment": environment}
            ended[stage] = tasks.start_stage(checkout, stage, inputs, after(*before))
        result = replace(_stage_result(stage, ended[stage]), last_seconds=last_run.get(stage))
        _finish_row(checkout, result)
        return result

    stale = {row.stage for row in staleness.plan(graph, reasons) if row.action != "-"}
    board.expect(graph, stale, most_jobs, last_run)
    results = walk(
        graph, {name: str(reason) for name, reason in reasons.items()}, run_task, most_jobs=most_jobs, cores=cores
    )
    tasks.publish_outcomes(results)
    tasks.publish_comparison(checkout, results)
    failed = [r.stage for r in results if r.outcome == "failed"]
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}", data=results)
    return Completed(message=outcome_summary(results), data=results)


def _stage_result(stage: str, state: State[Any]) -> StageResult:
    result = state.result(raise_on_failure=False)
    if isinstance(result, StageResult):
        return result
    if state.is_failed() and isinstance(result, Exception) and not isinstance(result, LipsmithError):
        raise result  # a bug
    return StageResult(stage, "failed", str(result), 0.0)  # no retries left


def _finish_row(checkout: Path, result: StageResult) -> None:
    """Show a stage's outcome with its key metric, or why it has none. Keep how long it ran."""
    is_bad = result.outcome in ("failed", "skipped")
    text = first_line(result.reason) if is_bad else key_figure(checkout, result.stage)
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
    """A row per stage. ``last took`` is the duration of the run before this one."""
    rows = [
        [r.stage, r.outcome, duration_text(r.seconds), tasks.last_took(r.last_seconds), first_line(r.reason)]
        for r in results
    ]
    return Table(["stage", "outcome", "took", "last took", "reason"], rows, num_text=5).plain()


def plan_text(root: Path, targets: list[str] | None) -> str:
    """A table of what ``reproduce`` would do now. Starts no stage and no server."""
    graph, reasons = _graph(root, targets), staleness.read_reasons(root)
    rows = staleness.plan(graph, reasons)
    stale = [row for row in rows if row.action != "-"]
    last_run = read_durations(Layout(root).durations_path)
    cells = [[r.stage, r.action, tasks.last_took(last_run.get(r.stage)), first_line(r.reason)] for r in rows]
    lines = Table(["stage", "action", "last took", "why"], cells, num_text=4).plain()
    if not stale:
        return f"{lines}\n\nNothing to do: all {len(rows)} stages are up to date."
    runs = sum(row.action == "run" for row in rows)
    run_them = "Run them: python -m flows.reproduce"
    if staleness.only_code_changed(graph, reasons):
        run_them = (
            "Only code changed. After an upgrade, the results can be kept: see docs/operations.md#upgrading. "
            "Otherwise run them: python -m flows.reproduce"
        )
    return (
        f"{lines}\n\n{runs} of {len(rows)} stages run or are restored from DVC's cache, "
        f"{len(stale) - runs} run only if their inputs change."
        f"\n{run_them}"
    )


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
    wait: WaitOption = False,
    root: RootOption = None,
) -> int:
    """Run every stage whose inputs changed. Independent stages run in parallel (params.yaml: runtime.num_jobs).

    Exit code 0 if every stage is up to date, 1 if a stage failed, 2 for an invalid argument or setting.
    """
    wanted = [*(targets or []), *(stages or [])] or None
    console = FlowConsole()

    def body() -> int:
        checkout = find_root(root)
        if plan:
            sys.stdout.write(plan_text(checkout, wanted) + "\n")
            return 0
        _graph(checkout, wanted)  # an unknown stage is reported before a server starts
        require_server()
        with console.show(checkout), working_in(checkout):
            state = reproduce(wanted, wait=wait, return_state=True)
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

    These are an invalid ``params.yaml``, no folder of the clips or one among the outputs, a file that does not exist,
    and a ``dvc.yaml`` that shares what it must not.
    """
    layout = Layout(root)
    path = layout.params_path
    params = load_params(path)
    if unset := params.dataset.unset_root:
        raise UserError(f"{path}: {unset} is not set; {params.dataset.how_to_set_root}")
    require_clips_outside_outputs(params, layout)
    for setting, given, allowed in params.named_files:
        if not layout.find(given).exists():
            raise UserError(f"{path}: {setting} is {given}, and there is no such file; {allowed}")
    require_sharing_allowed(root / "dvc.yaml", params)


def _graph(root: Path, targets: list[str] | None) -> dvc.StageGraph:
    """The graph restricted to ``targets``; None: all. Raises UserError for settings that a stage would reject."""
    if (root / "params.yaml").is_file():
        require_settings(root)
    graph = dvc.read_graph(root)
    return graph.restricted_to(targets) if targets else graph


if __name__ == "__main__":
    raise SystemExit(main())
