"""Flow ``retrain``: detect new clips, reproduce the pipeline, run the promotion gate, commit, write a report.

python -m flows.retrain
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows import tasks
from flows.board import current_board
from flows.checkout import current_checkout, working_in
from flows.command import WaitOption, run_flow_command, settle
from flows.console import FlowConsole
from flows.occupancy import CheckoutBusyError, occupying
from flows.overrides import ParamValues
from flows.reproduce import reproduce, require_settings
from flows.retrain_report import changes_text, headline, not_retrained, report
from flows.saved_results import SavedResults, needs_saving
from flows.server import require_server
from flows.tasks import StageResult
from flows.upstream import after
from pipeline.core.command_line import RootOption, run_command
from pipeline.core.layout import find_root
from pipeline.params import PromoteParams


@flow(name="retrain", persist_result=False)
def retrain(
    targets: list[str] | None = None,
    promote: bool = True,
    overrides: ParamValues | None = None,
    wait: bool = False,
) -> State[Any]:
    """Bring the pipeline up to date and promote its model if the gate accepts it.

    Args:
        targets: Stages to bring up to date, with all stages upstream, such as train_gan@lstm_cbam. Empty: all stages.
            The gate decides only if the evaluation of the promoted variant is among them.
        promote: Run the promotion gate after the stages.
        overrides: Values of params.yaml to change before the run, such as {"train_gan.num_steps": 600}. The file keeps
            them.
        wait: Wait while another flow runs in the checkout. Otherwise this run is then cancelled.

    Returns:
        A state that holds the report. Its message is the outcome, which starts with "no change" if the list of clips is
        the same, no stage ran and the registry did not change.
    """
    checkout = current_checkout()
    try:
        with occupying(checkout, "retrain", tasks.flow_logger().info if wait else None):
            changes = tasks.override_params(checkout, overrides) if overrides else []
            return _retrain(checkout, targets or None, promote, changes)
    except CheckoutBusyError as error:
        return Cancelled(message=str(error))


def _retrain(checkout: Path, targets: list[str] | None, promotes: bool, changes: list[str]) -> State[Any]:
    checked = tasks.preflight(checkout, return_state=True)
    rules: PromoteParams = checked.result()
    board = current_board()
    detected = tasks.detect(checkout, return_state=True, wait_for=after(checked))
    board.finish_started("detect", "ran" if detected.is_completed() else "failed")
    if not detected.is_completed():
        return _failed(f"detection of new clips: {detected.message}", changes)
    measured = tasks.measure_drift(checkout, return_state=True, wait_for=after(detected))
    board.finish_started("drift", "ran" if measured.is_completed() else "failed")
    if not measured.is_completed():
        return _failed(f"drift of the clips: {measured.message}", changes)
    drift: dict[str, Any] = measured.result()
    if drift["stops"]:
        text = not_retrained(drift, changes)
        tasks.publish_report(text)
        return Completed(message=f"not retrained: {drift['text']}", data=text)
    reproduced = reproduce(targets, return_state=True, wait_for=after(measured))
    results = reproduced.result(raise_on_failure=False)
    if not isinstance(results, list):  # the flow ended before any stage
        return _failed(f"reproduce: {reproduced.message}", changes)
    why_no_gate, gated = _why_no_gate(promotes, rules.variant, results), _Gated()
    if reproduced.is_completed() and not why_no_gate:
        gated = _run_gate(checkout, rules, checked, reproduced)
    text = report(results, gated.decision, gated.fault, drift, gated.saved, why_no_gate=why_no_gate, changes=changes)
    tasks.publish_report(text)
    message = headline(results, gated.decision, gated.fault, why_no_gate)
    is_done = gated.decision is not None or (bool(why_no_gate) and reproduced.is_completed())
    return (Completed if is_done else Failed)(message=message, data=text)


def _failed(why: str, changes: Sequence[str]) -> State[Any]:
    """The state of a run that ended before its report. ``changes``: in ``params.yaml``, which stay."""
    return Failed(message="\n".join(text for text in (why, changes_text(changes)) if text))


@dataclass(frozen=True)
class _Gated:
    """The gate's decision, or why the gate failed, and what became of the results of a promotion.

    ``decision`` is None if the gate failed or did not run, ``saved`` if nothing was to be committed.
    """

    decision: dict[str, Any] | None = None
    fault: str = ""
    saved: SavedResults | None = None


def _run_gate(checkout: Path, rules: PromoteParams, *before: State[Any]) -> _Gated:
    """Run the gate after other runs, and commit the results of a promotion if ``promote.branch`` is set.

    This includes a commit or a `dvc push` that an earlier run did not make.
    """
    ended = tasks.gate(checkout, rules.variant, return_state=True, wait_for=after(*before))
    if not ended.is_completed():
        current_board().finish_started("gate", "failed")
        return _Gated(fault=str(ended.result(raise_on_failure=False)))
    decision: dict[str, Any] = ended.result()
    current_board().finish_started("gate", "ran", decision["outcome"])
    if rules.branch is None or not needs_saving(checkout, rules.branch, decision):
        return _Gated(decision)
    return _Gated(decision, saved=_commit(checkout, rules.branch, decision, ended))


def _commit(checkout: Path, branch: str, decision: dict[str, Any], gated: State[Any]) -> SavedResults:
    """Commit the results of the promotion. A failure is a warning, since the model is promoted already."""
    state = tasks.commit_promoted(checkout, branch, decision, return_state=True, wait_for=after(gated))
    found = state.result(raise_on_failure=False)
    saved = found if isinstance(found, SavedResults) else SavedResults(branch, warnings=(f"not committed: {found}",))
    current_board().finish_started("commit", "ran" if saved.commit else "failed", saved.summary)
    return saved


def _why_no_gate(promotes: bool, variant: str, results: list[StageResult]) -> str:
    """Why the gate is left out; empty if it is not."""
    if not promotes:
        return "the run was started without promotion"
    evaluation = f"evaluate@{variant}"
    return "" if any(r.stage == evaluation for r in results) else f"the targets leave out {evaluation}"


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m flows.retrain")


def _command(
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Run the promotion gate after the stages.")
    ] = True,
    wait: WaitOption = False,
    root: RootOption = None,
) -> int:
    """Detect new clips, reproduce the pipeline, compare challenger and champion, print the report.

    Exit code 0 if the gate made a decision or was left out, 1 on a failure, 2 for an invalid argument or setting.
    """

    console = FlowConsole()

    def body() -> int:
        checkout = find_root(root)
        require_server()
        require_settings(checkout)  # reports invalid settings before a server starts
        with console.show(checkout), working_in(checkout):
            state = retrain(promote=promote, wait=wait, return_state=True)
        text = state.result(raise_on_failure=False)
        sys.stdout.write(f"{text if isinstance(text, str) else state.message}\n")
        if notes := console.closing_text(checkout):
            sys.stdout.write(f"\n{notes}\n")
        settle(state)
        return 0 if state.is_completed() else 1

    return run_flow_command(body, console)


if __name__ == "__main__":
    raise SystemExit(main())
