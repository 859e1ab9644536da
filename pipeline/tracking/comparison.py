"""The page of a comparison in MLflow: a child for every row, a description with the scores, a saved view."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.artifacts import read_json
from pipeline.core.layout import Layout
from pipeline.params import Params
from pipeline.report.tables import Table, figure
from pipeline.tracking.datasets import split_datasets
from pipeline.tracking.names import run_params
from pipeline.tracking.runs import KEY_TAG, PARENT_TAG, identity_of
from pipeline.tracking.tracker import Tracker
from pipeline.tracking.view import children_filter, run_address, runs_address, save_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

_COLUMNS = {
    # Key of a row -> header and format in the description.
    "lse_d": ("LSE-D ↓", ".3f"),
    "lse_c": ("LSE-C ↑", ".3f"),
    "within_one_frame": ("within 1 frame ↑", ".0%"),
    "fid": ("FID ↓", ".2f"),
    "jitter_ratio": ("jitter ratio → 1", ".2f"),
    "num_failed": ("failed clips", ".0f"),
}


def log_comparison(tracker: Tracker, layout: Layout, params: Params, content: Mapping[str, Any]) -> None:
    """Complete the run of a comparison. ``content``: the content of ``comparison.json``.

    Rows whose stages did not run now, because DVC had their results, get a child from these results.
    """
    rows = list(content["rows"])
    tracker.log_artifact(layout.comparison_path.with_suffix(".csv"))

    def send(client: MlflowClient, run: str) -> None:
        experiment = str(client.get_run(run).info.experiment_id)
        children = _complete_children(client, experiment, run, layout, params, [row["variant"] for row in rows])
        view = save_view(client, experiment, run)
        text = comparison_note(experiment, run, children, rows, view, str(content["fitness"]["text"]))
        client.set_tag(run, "mlflow.note.content", text)

    tracker.send("the comparison's children and description", send)


def comparison_note(
    experiment: str, run: str, children: Mapping[str, str], rows: Sequence[Mapping[str, Any]], view: str, fitness: str
) -> str:
    """The description on the comparison's page: what to look at, and the scores with links to the runs. Markdown."""
    cells = [
        [
            f"[{row['variant']}]({run_address(experiment, children[row['variant']])})",
            *(figure(row.get(key), form) for key, (_, form) in _COLUMNS.items()),
        ]
        for row in rows
    ]
    table = Table(["", *(header for header, _ in _COLUMNS.values())], cells).markdown()
    view_link = runs_address(experiment, view)
    return (
        "What to look at:\n\n"
        "1. Artifacts, `index.html`: findings, caveats, scores with intervals, videos side by side, training curves. "
        "Download it if its videos do not play here.\n"
        "2. Artifacts, `scores.png`: the scores as a chart.\n"
        f"3. [The runs of this comparison]({view_link}): their table. Its chart view has parallel coordinates, scores "
        "and curves.\n\n"
        f"{table}\n\n{fitness}\n"
    )


def _complete_children(
    client: MlflowClient, experiment: str, parent: str, layout: Layout, params: Params, names: Sequence[str]
) -> dict[str, str]:
    """Row -> id of its run below ``parent``. Missing runs are made from the artifacts of the checkout."""
    below = client.search_runs([experiment], children_filter(parent))
    known = {str(run.data.tags["variant"]): str(run.info.run_id) for run in below if "variant" in run.data.tags}
    missing = {name: _restore(client, experiment, parent, layout, params, name) for name in names if name not in known}
    return {name: (known | missing)[name] for name in names}


def _restore(client: MlflowClient, experiment: str, parent: str, layout: Layout, params: Params, variant: str) -> str:
    """Make the run of a row whose results come from DVC. Its tag ``restored`` says so. Returns its id."""
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
    with path.open(newline="") as file:
        rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    return [(int(row["step"]), {name: value for name, value in row.items() if name != "step"}) for row in rows]
