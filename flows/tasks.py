"""Prefect tasks: run a stage, run the promotion gate, commit a promotion, publish the results.

Prefect caches and stores no results here: DVC decides what is stale, and results are files.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.utilities.annotations import quote

from flows import dvc, staleness
from flows.board import current_board
from flows.exit_codes import describe_exit
from flows.overrides import ParamValues, change_params
from flows.processes import stream
from flows.recording import recording
from flows.saved_results import SavedResults, save_results
from pipeline.core.durations import duration_text
from pipeline.core.errors import LipsmithError, TemporaryError, first_line
from pipeline.core.layout import CODE_ROOT, Layout
from pipeline.params import PromoteParams, load_params

RETRY_DELAYS_S = [10.0, 60.0, 300.0]

_STATE_NAMES: dict[dvc.StageOutcome, str] = {
    "ran": "Completed",
    "restored": "Restored",
    "up_to_date": "UpToDate",
    "skipped": "Skipped",
}


@dataclass(frozen=True)
class StageResult:
    """One row of the outcome table. ``reason``: why the stage ran, failed or was skipped.

    ``last_seconds``: how long the stage took when it ran before this run; None if that is not recorded.
    """

    stage: str
    outcome: dvc.StageOutcome
    reason: str
    seconds: float
    last_seconds: float | None = None


def may_retry(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Whether the failure is a held lock or an exit code 75. Any other failure would repeat."""
    return isinstance(state.result(raise_on_failure=False), TemporaryError)


UNCACHED: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}
RETRIED: dict[str, Any] = UNCACHED | {
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": may_retry,
}


@task(name="stage", task_run_name="{stage}", **RETRIED)
def run_stage_task(
    root: Path,
    stage: str,
    *,
    reason: str | None = None,
    blocked_by: Iterable[str] = (),
    num_cores: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> State[StageResult]:
    """Bring one stage up to date and return a state whose name is the outcome.

    ``reason``: why the stage is stale; empty if it is up to date, and DVC is then not called; None reads it from DVC.
    ``blocked_by``: upstream stages that failed; the stage is then skipped. ``num_cores``: for the stage; None: all.
    ``environment``: further variables for its process. Raises TemporaryDvcError for a failure that Prefect retries.
    """
    started = time.monotonic()

    def finished(outcome: dvc.StageOutcome, why: str = "") -> State[StageResult]:
        result = StageResult(stage, outcome, why, round(time.monotonic() - started, 1))
        headline = first_line(why)
        message = f"{stage}: {outcome}" + (f" ({headline})" if headline else "")
        if outcome == "failed":
            return Failed(message=message, data=result)
        return Completed(name=_STATE_NAMES[outcome], message=message, data=result)

    if blocked := ", ".join(blocked_by):
        return finished("skipped", f"{blocked} failed")
    try:
        why = str(staleness.read_reasons(root, stage).get(stage, "")) if reason is None else reason
        if not why:
            return finished("up_to_date")
        with recording(root, stage, flow_logger().info) as record:
            variables = {**(environment or {}), **record.environment}
            outcome = dvc.run_stage(root, stage, record.on_line, num_cores=num_cores, environment=variables)
        return finished(outcome, why)
    except dvc.TemporaryDvcError as error:
        current_board().note_waiting(stage, f"may be tried again: {error}")
        raise
    except dvc.DvcError as error:
        return finished("failed", str(error))


def start_stage(root: Path, stage: str, inputs: Mapping[str, Any], upstream: Sequence[Any]) -> State[Any]:
    """Run `run_stage_task` after other runs and return its final state.

    ``inputs``: its keyword arguments. ``upstream``: from `after`; alone they become edges of Prefect's graph.
    """
    quoted = {name: quote(value) for name, value in inputs.items()}
    state: State[Any] = run_stage_task(root, quote(stage), **quoted, wait_for=upstream, return_state=True)
    return state


@task(name="status", task_run_name="status", **RETRIED)
def read_reasons_task(root: Path) -> dict[str, staleness.StaleReason]:
    """Stale stage -> reason, for all stages."""
    return staleness.read_reasons(root)


@task(name="params", task_run_name="params", **UNCACHED)
def override_params(root: Path, overrides: ParamValues) -> list[str]:
    """Write the run's overrides to ``params.yaml`` and return the changes. Raises ParamsError."""
    changes = change_params(root, overrides)
    flow_logger().info("params.yaml: %s", ", ".join(changes) or "has these values already")
    return changes


@task(task_run_name="preflight", **UNCACHED)
def preflight(root: Path) -> PromoteParams:
    """Validate ``params.yaml`` before any stage runs and return its section ``promote``. Raises ParamsError."""
    return load_params(Layout(root).params_path).promote


@task(name="detect", task_run_name="detect", **RETRIED)
def detect(root: Path) -> None:
    """Rerun ``download`` to list the source's clips. DVC does not track their folder, so it cannot detect new clips.

    An unchanged list makes no stage stale. The demo source renders its own clips and has no new ones.
    """
    if load_params(Layout(root).params_path).dataset.source != "demo":
        with recording(root, "detect", flow_logger().info) as record:
            dvc.run_stage(root, "download", record.on_line, force=True, environment=record.environment)


@task(name="drift", task_run_name="drift", **UNCACHED)
def measure_drift(root: Path) -> dict[str, Any]:
    """Run ``pipeline.corpora.drift``, which compares the clips with the champion's, and return its report.

    Raises LipsmithError if it fails.
    """
    return _run_module(root, "drift", Layout(root).drift_path, "pipeline.corpora.drift")


@task(task_run_name="gate", **RETRIED)
def gate(root: Path, variant: str) -> dict[str, Any]:
    """Run ``pipeline.promote``, the comparison with the champion, and return its decision. Raises LipsmithError."""
    return _run_module(root, "gate", Layout(root).decision_path, "pipeline.promote", "--variant", variant)


def _run_module(root: Path, row: str, written_path: Path, module: str, *arguments: str) -> dict[str, Any]:
    """Run a module of the pipeline for the checkout, log its output, and return the JSON file that it writes.

    ``row``: its row on the board. Raises LipsmithError with the end of the output if it fails; of exit code 75 it is a
    TemporaryError.
    """
    tail: deque[str] = deque(maxlen=20)
    logger = flow_logger()

    def on_output(line: str) -> None:
        tail.append(line)
        logger.info(line)

    command = [sys.executable, "-m", module, *arguments, "--root", str(root)]
    with recording(root, row, on_output) as record:
        code = stream(command, CODE_ROOT, record.on_line, record.environment)
    if code != 0:
        kind = TemporaryError if code == TemporaryError.exit_code else LipsmithError
        raise kind("\n".join([f"{module} failed: it {describe_exit(code)}", *tail]))
    written: dict[str, Any] = json.loads(written_path.read_text())
    return written


@task(name="commit", task_run_name="commit", **UNCACHED)
def commit_promoted(root: Path, branch: str, decision: dict[str, Any]) -> SavedResults:
    """Commit the results of a promotion on a branch, and send their files to DVC's default remote.

    ``decision``: of the gate. What could not be done is a warning of the result.
    """
    with recording(root, "commit", flow_logger().info) as record:
        saved = save_results(root, branch, decision, record.on_line)
    for warning in saved.warnings:
        flow_logger().warning("%s", warning)
    return saved


def publish_outcomes(results: list[StageResult]) -> None:
    """Publish the results as the table artifact ``stages`` of this flow run."""
    rows = [
        {
            "stage": r.stage,
            "outcome": r.outcome,
            "took": duration_text(r.seconds),
            "last took": last_took(r.last_seconds),
        }
        | {"reason": first_line(r.reason)}
        for r in results
    ]
    create_table_artifact(table=rows, key="stages", description="Outcome of every stage, and why")


def last_took(seconds: float | None) -> str:
    """How long a stage took when it last ran; a dash if that is not recorded."""
    return "-" if seconds is None else duration_text(seconds)


def publish_comparison(root: Path, results: Iterable[StageResult]) -> None:
    """Publish the comparison as the markdown artifact ``comparison`` if this run produced it."""
    path = Layout(root).comparison_path.with_suffix(".md")
    is_new = any(r.stage == "compare" and r.outcome in ("ran", "restored") for r in results)
    if is_new and path.is_file():
        create_markdown_artifact(markdown=path.read_text(), key="comparison", description="Every row's scores")


def publish_report(text: str) -> None:
    """Publish the report as the markdown artifact ``retrain``."""
    create_markdown_artifact(markdown=text, key="retrain", description="What retraining did")


def flow_logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    try:
        return get_run_logger()
    except MissingContextError:  # called outside a flow
        return logging.getLogger(__name__)
