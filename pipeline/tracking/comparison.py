"""The page of a comparison in MLflow: a child for every row, a description with the scores, a saved view."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.artifacts import read_curve_rows, read_json
from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.locks import locked
from pipeline.core.redact import redacted
from pipeline.params import Params, load_params
from pipeline.report.tables import Table, number_text
from pipeline.tracking.datasets import split_datasets
from pipeline.tracking.names import run_params
from pipeline.tracking.runs import KEY_TAG, PARENT_TAG, find_run, identity_of
from pipeline.tracking.store import experiment_id, naming_the_store, open_client
from pipeline.tracking.store_faults import show_bug
from pipeline.tracking.tracker import Tracker
from pipeline.tracking.view import children_filter, run_address, runs_address, save_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_COLUMNS = {
    # Key of a row -> header and format in the description.
    "lse_d": ("LSE-D ↓", ".3f"),
    "lse_c": ("LSE-C ↑", ".3f"),
    "within_one_frame": ("within 1 frame ↑", ".0%"),
    "fid": ("FID ↓", ".2f"),
    "jitter_ratio": ("jitter ratio → 1", ".2f"),
    "num_failed": ("failed clips", ".0f"),
}


def complete_comparison(layout: Layout, params: Params, run: str) -> None:
    """Complete the run of a comparison from ``artifacts/compare/comparison.json``, when the store has its records.

    Rows whose stages did not run now, because DVC had their results, get a child from these results. An error of the
    store causes a warning; the next comparison of the same state completes the run.
    """
    try:
        client = open_client(layout)
        content = read_json(layout.comparison_path)
        rows, fitness = list(content["rows"]), str(content["fitness"]["text"])
        experiment = str(client.get_run(run).info.experiment_id)
        children = _complete_children(client, experiment, run, layout, params, [row["variant"] for row in rows])
        view = save_view(client, experiment, run)
        client.set_tag(run, "mlflow.note.content", comparison_note(experiment, children, rows, view, fitness))
    except Exception as error:  # no error of tracking may end the stage
        show_bug(error)
        logger.warning("the comparison's page in MLflow is incomplete: %s", redacted(str(error)))


def complete_present_comparison(layout: Layout) -> None:
    """Complete the run of the checkout's comparison, if it is in the store.

    ``sync-runs`` calls this: the stage could not complete it because the store could not be reached. Raises the errors
    of ``load_params``, and TemporaryError if the store cannot be used.
    """
    params = load_params(layout.params_path)
    if not layout.comparison_path.is_file():
        return
    with naming_the_store(layout, TemporaryError):
        client = open_client(layout)
        experiment = experiment_id(client, layout, params.dataset.source)
        run = find_run(client, experiment, identity_of(layout, "compare", None, params, "").key)
    if run:
        complete_comparison(layout, params, run)


def comparison_note(
    experiment: str, children: Mapping[str, str], rows: Sequence[Mapping[str, Any]], view: str, fitness: str
) -> str:
    """The description on the comparison's page: what to look at, and the scores with links to the runs. Markdown."""
    cells = [
        [
            f"[{row['variant']}]({run_address(experiment, children[row['variant']])})",
            *(number_text(row.get(key), form) for key, (_, form) in _COLUMNS.items()),
        ]
        for row in rows
    ]
    table = Table(["", *(header for header, _ in _COLUMNS.values())], cells).markdown()
    view_link = runs_address(experiment, view)
    return (
        f"**[Table and charts of these runs]({view_link})**: parallel coordinates, scores, curves.\n\n"
        "Artifacts: `index.html` has findings, caveats, intervals, videos side by side and curves (download it if its "
        "videos do not play here); `scores.png` is a chart of the scores.\n\n"
        f"{table}\n\n{fitness}\n"
    )


def _complete_children(
    client: MlflowClient, experiment: str, parent: str, layout: Layout, params: Params, names: Sequence[str]
) -> dict[str, str]:
    """Row -> id of its run below ``parent``. Missing runs are made from the artifacts of the checkout.

    A run that a process did not finish making is deleted and made again.
    """
    with locked(Layout(layout.home).scratch_dir / "mlflow-comparison.lock", "completing a comparison in MLflow"):
        below = client.search_runs([experiment], children_filter(parent))
        known: dict[str, str] = {}
        for run in below:
            if "restored" in run.data.tags and run.info.status != "FINISHED":
                client.delete_run(run.info.run_id)
            elif "variant" in run.data.tags:
                known[str(run.data.tags["variant"])] = str(run.info.run_id)
        absent = [name for name in names if name not in known]
        missing = {name: _restore(client, experiment, parent, layout, params, name) for name in absent}
    return {name: (known | missing)[name] for name in names}


def _restore(client: MlflowClient, experiment: str, parent: str, layout: Layout, params: Params, variant: str) -> str:
    """Make the run of a row whose results come from DVC. It gets the tag ``restored``. Returns its id."""
    identity = identity_of(layout, "evaluate", variant, params, f"restored-{parent}")
    tags = {**identity.tags, KEY_TAG: identity.key, PARENT_TAG: parent, "restored": "true"}
    run_id = str(client.create_run(experiment, tags=tags, run_name=identity.name).info.run_id)
    tracker = Tracker(client, run_id)
    tracker.log_params(run_params("evaluate", variant, params, {}))
    trained = layout.stage_dir("train_gan", variant)
    if (trained / "metrics.json").is_file():
        tracker.log_curve(_curve(trained / "curve.csv"))
        tracker.log_summary("train_gan", read_json(trained / "metrics.json"))
        for name in ("curve.png", "samples.png"):
            tracker.log_artifact(trained / name)
        tracker.log_datasets(split_datasets(layout, params, "train_gan"))
    scored = layout.stage_dir("evaluate", variant)
    tracker.log_summary("evaluate", read_json(scored / "metrics.json"))
    tracker.log_artifact(scored / "clips.csv")
    tracker.log_datasets(split_datasets(layout, params, "evaluate"))
    tracker.finish("FINISHED")
    return run_id


def _curve(path: Path) -> list[tuple[int, dict[str, float]]]:
    return [(int(row.pop("step")), row) for row in read_curve_rows(path)]
