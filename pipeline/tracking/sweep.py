"""``python -m pipeline.tracking.sweep``: the points of a sweep as child runs of one MLflow run."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.artifacts import read_json
from pipeline.core.command_line import RootOption, reported, run_command
from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.params import load_params
from pipeline.tracking.batches import send_metrics, send_params
from pipeline.tracking.names import flatten, is_number
from pipeline.tracking.runs import KEY_TAG, PARENT_TAG
from pipeline.tracking.store import experiment_id, naming_the_store, open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


def log_sweep(layout: Layout, sweep: str, points: Sequence[Mapping[str, Any]]) -> str:
    """Log the finished points of a sweep and return the id of the parent run.

    A point has ``name`` (of its DVC experiment), ``overrides`` (key -> value) and ``metrics`` (nested numbers). Points
    that were logged before are left unchanged. Raises TemporaryError if the store cannot be used.
    """
    with naming_the_store(layout, TemporaryError):
        client = open_client(layout)
        experiment = experiment_id(client, layout, load_params(layout.params_path).dataset.source)
        parent, _ = _find_or_create(
            client, experiment, f"sweep:{sweep}", sweep, {"mlflow.note.content": _description(sweep)}
        )
        for point in points:
            tags = {PARENT_TAG: parent, "dvc_experiment": point["name"], "sweep": sweep}
            run_id, is_unfinished = _find_or_create(
                client, experiment, f"sweep:{sweep}:{point['name']}", point["name"], tags
            )
            if is_unfinished:
                _log_point(client, run_id, point)
        client.set_terminated(parent)
    return parent


def _description(sweep: str) -> str:
    return (
        f"Points of the sweep {sweep}. Each child run is a DVC experiment; `dvc exp apply NAME` restores its results."
    )


def _find_or_create(
    client: MlflowClient, experiment: str, key: str, name: str, tags: dict[str, str]
) -> tuple[str, bool]:
    """Id of the run with this key, created if missing; and whether it still has to be logged."""
    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    if found:
        return str(found[0].info.run_id), found[0].info.status != "FINISHED"
    made = client.create_run(experiment, run_name=name, tags={**tags, KEY_TAG: key})
    return str(made.info.run_id), True


def _log_point(client: MlflowClient, run_id: str, point: Mapping[str, Any]) -> None:
    """Log a point and finish its run. All values have the time of the run's start, so a second call adds nothing."""
    start_ms = int(client.get_run(run_id).info.start_time)
    send_params(client, run_id, {key: str(value) for key, value in point["overrides"].items()})
    numbers = [(name, value) for name, value in flatten(point["metrics"]) if is_number(value) and math.isfinite(value)]
    send_metrics(client, run_id, [(name, float(value), start_ms, 0) for name, value in numbers])
    client.set_terminated(run_id)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m pipeline.tracking.sweep")


def _command(
    sweep: Annotated[str, typer.Option("--name", help="Name of the sweep.")],
    points: Annotated[Path, typer.Option(help="JSON file with the points: name, overrides, metrics.")],
    root: RootOption = None,
) -> int:
    """Log the points of a sweep as child runs of one MLflow run. `python -m flows.sweep` calls this command."""
    log_to_stderr()

    def body() -> int:
        log_sweep(Layout(find_root(root)), sweep, read_json(points, "`python -m flows.sweep` creates it")["points"])
        return 0

    return reported(body, lambda error: logger.error("%s", error, exc_info=wants_tracebacks()))


if __name__ == "__main__":
    raise SystemExit(main())
