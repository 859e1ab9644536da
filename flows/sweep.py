"""Flow ``sweep``: runs the pipeline with other seeds or settings, each point as a DVC experiment of its own.

python -m flows.sweep --name widths --set train_gan.width=0.25,0.5 --seeds 1,2

The points are child runs of one MLflow run. A point that is done is not run again: the same command resumes a sweep.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows import dvc
from flows.command import run_flow_command, settle
from flows.dvc_commands import run_dvc
from flows.git import GitError, run_git
from flows.occupancy import CheckoutBusyError, occupying
from flows.processes import stream
from flows.recording import recording
from flows.reproduce import require_settings
from flows.server import require_server
from flows.sweep_points import SweepPoint, grid_of, points_of, read_list
from flows.tasks import RETRIED, flow_logger
from pipeline.core import atomic
from pipeline.core.command_line import RootOption, run_command
from pipeline.core.errors import UserError, first_line
from pipeline.core.layout import CODE_ROOT, Layout, find_root
from pipeline.report.tables import Table, number_text

COMPARISON_METRICS = "artifacts/compare/metrics.json"
_OUTCOME_WIDTH = 32
"""Longest line of an outcome in the table, in characters."""


@flow(name="sweep", persist_result=False)
def sweep(root: str, name: str, points: list[SweepPoint], targets: list[str]) -> State[Any]:
    """Run every point that is not done, log all done points to MLflow, and return a state that holds the table.

    A failed point does not stop the others. The state is Cancelled if another flow is running in the checkout.
    """
    checkout = Path(root)
    try:
        with occupying(checkout, "sweep"):
            return _sweep(checkout, name, points, targets)
    except CheckoutBusyError as error:
        return Cancelled(message=str(error))


def _sweep(checkout: Path, name: str, points: list[SweepPoint], targets: list[str]) -> State[Any]:
    outcomes = dict.fromkeys((point.name for point in points), "done before")
    done = read_metrics_task(checkout)
    for point in points:
        if point.name not in done:
            remove_killed(checkout, point.name)
            state = run_point(checkout, point, targets, return_state=True)
            outcomes[point.name] = "ran" if state.is_completed() else f"failed: {_cause(state)}"
            done = read_metrics_task(checkout)
            log_points(checkout, name, points, done)
    log_points(checkout, name, points, done)
    table = outcome_text(points, outcomes, done)
    failed = [point.name for point in points if outcomes[point.name].startswith("failed")]
    if failed:
        return Failed(message=f"{len(failed)} of {len(points)} points failed: {', '.join(failed)}", data=table)
    ran = sum(outcome == "ran" for outcome in outcomes.values())
    return Completed(message=f"{ran} of {len(points)} points ran, {len(points) - ran} were done before", data=table)


def _cause(state: State[Any]) -> str:
    return first_line(state.result(raise_on_failure=False))


@task(name="point", task_run_name="{point.name}", **RETRIED)
def run_point(root: Path, point: SweepPoint, targets: list[str]) -> State[str]:
    """Run one point as a DVC experiment in a temporary copy of the checkout. The state of a failure holds its cause.

    Raises TemporaryDvcError for a failure that Prefect retries.
    """
    settings = [option for setting in point.settings for option in ("--set-param", setting)]
    with recording(root, point.name, flow_logger().info) as record:
        arguments = ["exp", "run", "--temp", "--name", point.name, *settings, *targets]
        try:
            run_dvc(root, arguments, record.on_line, record.environment)
        except dvc.TemporaryDvcError:
            raise
        except dvc.DvcError as error:
            cause = first_line(error)
            return Failed(message=cause, data=cause)
    return Completed(message=f"{point.name}: ran", data="")


def read_metrics(root: Path) -> dict[str, dict[str, Any]]:
    """Name of every finished DVC experiment of the current commit -> its comparison's metrics. Raises DvcError.

    DVC also shows experiments that run. To it, an experiment whose process was killed still runs.
    """
    shown = json.loads(dvc.query(root, "exp", "show", "--json", "--hide-workspace", "--hide-queued", "--hide-failed"))
    found: dict[str, dict[str, Any]] = {}
    for baseline in shown:
        for experiment in baseline.get("experiments") or []:
            if (experiment.get("executor") or {}).get("state", "success") != "success":
                continue
            for revision in experiment["revs"] or []:
                metrics = ((revision.get("data") or {}).get("metrics") or {}).get(COMPARISON_METRICS, {}).get("data")
                if revision.get("name"):
                    found[revision["name"]] = metrics or {}
    return found


@task(name="experiments", task_run_name="experiments", **RETRIED)
def read_metrics_task(root: Path) -> dict[str, dict[str, Any]]:
    """`read_metrics` within a flow, where Prefect retries a temporary failure."""
    return read_metrics(root)


def remove_killed(root: Path, name: str) -> None:
    """Remove the temporary copies that killed runs of an experiment left, and DVC's notes that it still runs.

    ``name``: an experiment that no process runs.
    """
    copies = root / ".dvc" / "tmp" / "exps" / "standalone"
    for note in [*copies.glob("run/*/*.run"), *copies.parent.glob("run/*/*.run")]:
        try:
            content = json.loads(note.read_text())
        except (OSError, ValueError):
            continue
        if content.get("name") == name:
            copy = Path(content.get("root_dir", ""))
            if copy.parent.resolve() == copies.resolve():
                shutil.rmtree(copy, ignore_errors=True)
            shutil.rmtree(note.parent, ignore_errors=True)


def log_points(root: Path, name: str, points: Sequence[SweepPoint], done: dict[str, dict[str, Any]]) -> None:
    """Log the done points as child runs of the sweep's MLflow run. An error of the store causes a warning."""
    listed = [{"name": p.name, "overrides": p.overrides, "metrics": done[p.name]} for p in points if p.name in done]
    path = Layout(root).scratch_dir / "sweeps" / f"{name}.json"
    atomic.write_json(path, {"points": listed})
    command = [sys.executable, "-m", "pipeline.tracking.sweep", "--name", name, "--points", str(path)]
    lines: list[str] = []
    if stream([*command, "--root", str(root)], CODE_ROOT, lines.append) != 0:
        flow_logger().warning(
            "the points are not in MLflow; the same command logs them later: %s", "\n".join(lines[-3:])
        )


def outcome_text(points: Sequence[SweepPoint], outcomes: dict[str, str], done: dict[str, dict[str, Any]]) -> str:
    """A table with a row per point: experiment, overrides, outcome, and LSE-D and FID of every variant on a line."""
    cells = []
    for point in points:
        scores = {name: of_one for name, of_one in done.get(point.name, {}).items() if isinstance(of_one, dict)}
        columns = [[number_text(one.get(key), ".3f") for one in scores.values()] or ["-"] for key in ("lse_d", "fid")]
        figures = ["\n".join(column) for column in (list(scores) or ["-"], *columns)]
        cells.append([point.name, "\n".join(point.settings), _wrapped(outcomes[point.name]), *figures])
    return Table(["experiment", "settings", "outcome", "variant", "LSE-D", "FID"], cells, num_text=4).plain()


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _OUTCOME_WIDTH))


def require_committed(root: Path) -> str:
    """The current commit. Raises UserError without one, and if a tracked file differs from it.

    A point's name stands for the commit and the overrides, so uncommitted edits would change results under one name.
    """
    try:
        commit = run_git(root, "rev-parse", "--verify", "HEAD")
        changed = run_git(root, "status", "--porcelain", "--untracked-files=no")
    except GitError as error:
        raise UserError(f"a sweep needs a git commit: {error}") from None
    if changed:
        raise UserError(
            f"{root} has uncommitted changes ({first_line(changed)}); commit them, so that the points of "
            "the sweep start from one commit"
        )
    return commit


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m flows.sweep")


def _command(
    name: Annotated[str, typer.Option(help="Name of the sweep: its MLflow run, and the start of each experiment's.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE,...", help="Values of one key. Several: all combinations."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="SEED,...", help="Seeds of the whole pipeline.")] = "",
    listed: Annotated[
        Path | None, typer.Option("--list", help="YAML file with a list of points, instead of all combinations.")
    ] = None,
    targets: Annotated[list[str] | None, typer.Argument(metavar="STAGE", help="Stages to run. Default: all.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the points and which are done. Run nothing.")] = False,
    root: RootOption = None,
) -> int:
    """Run the pipeline at several points, each as a DVC experiment in a temporary copy of the checkout.

    Done points are not run again. Exit code 0 if all points are done, 1 if one failed, 2 for an invalid argument.

    \b
    python -m flows.sweep --name widths --set train_gan.width=0.25,0.5 --seeds 1,2
    dvc exp show --only-changed                         the points, their settings and metrics
    dvc exp apply widths-1a2b3c4d                       take over one of them
    """

    def body() -> int:
        checkout = find_root(root)
        require_settings(checkout)
        if listed and (settings or seeds):
            raise UserError("give --list, or --set and --seeds, not both")
        overrides = read_list(listed) if listed else grid_of(settings or [], _seeds(seeds))
        params = yaml.safe_load(Layout(checkout).params_path.read_text())
        points = points_of(name, require_committed(checkout), params, overrides, targets or [])
        if plan:
            done = read_metrics(checkout)
            outcomes = {point.name: "done before" if point.name in done else "to run" for point in points}
            sys.stdout.write(outcome_text(points, outcomes, done) + "\n")
            return 0
        require_server()
        state = sweep(str(checkout), name, points, targets or [], return_state=True)
        table = state.result(raise_on_failure=False)
        sys.stdout.write(f"{table if isinstance(table, str) else ''}\n{state.message}\n")
        settle(state)
        return 0 if state.is_completed() else 1

    return run_flow_command(body)


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")] if text else []
    except ValueError:
        raise UserError(f"--seeds {text!r} must be integers separated by commas, such as 1,2,3") from None


if __name__ == "__main__":
    raise SystemExit(main())
