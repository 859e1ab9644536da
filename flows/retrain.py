"""Flow ``retrain``: detect new clips, reproduce the pipeline, run the promotion gate, write a report.

python -m flows.retrain
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows import tasks
from flows.board import current_board
from flows.command import run_flow_command, settle
from flows.console import FlowConsole
from flows.occupancy import CheckoutBusyError, occupying
from flows.reproduce import reproduce, require_settings
from flows.retrain_report import drift_table, headline, report
from flows.server import require_server
from pipeline.core.command_line import run_command
from pipeline.core.layout import find_root


@flow(name="retrain", persist_result=False)
def retrain(root: str | None = None) -> State[Any]:
    """Bring the pipeline up to date and promote its model if the gate accepts it.

    ``root``: a checkout; default: the checkout that contains the working directory. The state holds the report; its
    message is the outcome. The message starts with ``no change`` if the list of clips is the same, no stage ran and the
    registry did not change. The state is Cancelled if another flow is running in the checkout.
    """
    checkout = find_root(Path(root) if root else None)
    try:
        with occupying(checkout, "retrain"):
            return _retrain(checkout)
    except CheckoutBusyError as error:
        return Cancelled(message=str(error))


def _retrain(checkout: Path) -> State[Any]:
    variant = tasks.preflight(checkout)
    board = current_board()
    detected = tasks.detect(checkout, return_state=True)
    board.finish_started("detect", "ran" if detected.is_completed() else "failed")
    if not detected.is_completed():
        return Failed(message=f"detection of new clips: {detected.message}")
    measured = tasks.measure_drift(checkout, return_state=True)
    board.finish_started("drift", "ran" if measured.is_completed() else "failed")
    if not measured.is_completed():
        return Failed(message=f"drift of the clips: {measured.message}")
    drift: dict[str, Any] = measured.result()
    if drift["stops"]:
        why = f"not retrained: {drift['text']}"
        text = f"# Retraining: {why}\n\n{drift_table(drift)}\n"
        tasks.publish_report(text)
        return Completed(message=why, data=text)
    reproduced = reproduce(str(checkout), return_state=True)
    results = reproduced.result(raise_on_failure=False)
    if not isinstance(results, list):  # the flow ended before any stage
        return Failed(message=f"reproduce: {reproduced.message}")
    decision: dict[str, Any] | None = None
    fault = ""
    if reproduced.is_completed():
        gated = tasks.gate(checkout, variant, return_state=True)
        outcome = gated.result(raise_on_failure=False)
        decision, fault = (outcome, "") if gated.is_completed() else (None, str(outcome))
        board.finish_started("gate", "ran" if decision else "failed", decision["outcome"] if decision else "")
    text = report(results, decision, fault, drift)
    tasks.publish_report(text)
    message = headline(results, decision, fault)
    return (Completed if decision else Failed)(message=message, data=text)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m flows.retrain")


def _command(
    root: Annotated[
        Path | None, typer.Option(help="Checkout. Default: the one that contains the working directory.")
    ] = None,
) -> int:
    """Detect new clips, reproduce the pipeline, compare challenger and champion, print the report.

    Exit code 0 if the gate made a decision, 1 on a failure, 2 for an invalid argument or setting.
    """

    console = FlowConsole()

    def body() -> int:
        checkout = find_root(root)
        require_server()
        require_settings(checkout)  # reports invalid settings before a server starts
        with console.show(checkout):
            state = retrain(str(checkout), return_state=True)
        text = state.result(raise_on_failure=False)
        sys.stdout.write(f"{text if isinstance(text, str) else state.message}\n")
        if notes := console.closing_text(checkout):
            sys.stdout.write(f"\n{notes}\n")
        settle(state)
        return 0 if state.is_completed() else 1

    return run_flow_command(body, console)


if __name__ == "__main__":
    raise SystemExit(main())
