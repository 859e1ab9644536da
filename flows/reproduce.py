"""Flow ``reproduce``: one task per stage of DVC's graph; independent stages run in parallel."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows import dvc, tasks
from flows.board import current_board
from flows.command import run_flow_command, settle
from flows.console import FlowConsole
from flows.estimate import read_durations, record_duration
from flows.key_figures import key_figure
from flows.occupancy import CheckoutBusyError, occupying
from flows.parallel import num_jobs, shares_of, walk
from flows.server import require_server
from flows.tasks import StageResult
from pipeline.core.command_line import run_command
from pipeline.core.errors import LipsmithError, UserError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import is_terminal
from pipeline.core.resources import num_cores
from pipeline.params import load_params
from pipeline.params.sharing import require_sharing_allowed
from pipeline.report.tables import Table, wrap_bullets


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
