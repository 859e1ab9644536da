"""Addresses and saved views of the MLflow pages that show the runs.

MLflow 3 opens an experiment on a page for GenAI applications unless the address asks for machine learning. A view is
the value of an experiment's tag: filter, columns and charts of the table of runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pipeline.tracking.runs import PARENT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

WORKFLOW = {"workflowType": "machine_learning"}
_VIEW_TAG = "mlflow.sharedViewState."
_COLUMNS = {
    # Column of the table -> width in pixels.
    "metrics.`test/lse_d`": 90,
    "metrics.`test/lse_c`": 90,
    "metrics.`test/within_one_frame`": 160,
    "metrics.`test/fid`": 90,
    "metrics.`test/jitter_ratio`": 100,
    "params.`network`": 90,
    "params.`use_lstm`": 90,
    "params.`use_cbam`": 90,
    "params.`use_discriminator`": 130,
    "params.`seed`": 80,
}
_AXES = ("variant", "use_lstm", "use_cbam", "use_discriminator")
_SCORES = ("test/lse_d", "test/lse_c", "test/within_one_frame", "test/fid", "test/jitter_ratio", "test/kid")
_CURVES = ("val/l1", "val/sync", "train/l1", "train/sync")
_LINE = {
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "xAxisKey": "step",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}
"""Settings that MLflow's page expects of every line chart."""
_SECTIONS = {
    # Section of the page with charts -> its name, charts in a row, and height of a chart in pixels.
    "variants": ("Variants", 1, 400),
    "scores": ("Scores on held-out clips", 3, 360),
    "curves": ("Training", 2, 360),
}


def runs_address(experiment: str, view: str | None = None, filter_text: str | None = None) -> str:
    """The page with the runs of an experiment, relative to the server: with a saved view, or with a filter."""
    query = {**WORKFLOW, **({"viewStateShareKey": view} if view else {})}
    if filter_text:
        query["searchFilter"] = filter_text
    return f"#/experiments/{experiment}/runs?{urlencode(query)}"


def run_address(experiment: str, run_id: str) -> str:
    """The page of a run, relative to the server."""
    return f"#/experiments/{experiment}/runs/{run_id}?{urlencode(WORKFLOW)}"


def children_filter(parent: str) -> str:
    return f"tags.`{PARENT_TAG}` = '{parent}'"


def save_view(client: MlflowClient, experiment: str, parent: str) -> str:
    """Save the view of a comparison's runs: headline columns, parallel coordinates, scores, curves. Returns its name.

    ``parent``: id of the comparison's run.
    """
    name = _view_name(parent)
    client.set_experiment_tag(experiment, _VIEW_TAG + name, view_text(parent))
    return name


def latest_view(client: MlflowClient, experiment: str) -> str | None:
    """Name of the view of the latest comparison; None before the first one."""
    newest = ["attributes.start_time DESC"]
    saved = client.get_experiment(experiment).tags
    for run in client.search_runs([experiment], "tags.kind = 'comparison'", order_by=newest, max_results=20):
        if _VIEW_TAG + _view_name(run.info.run_id) in saved:
            return _view_name(run.info.run_id)
    return None


def _view_name(parent: str) -> str:
    return f"comparison-{parent[:8]}"


def view_text(parent: str) -> str:
    """The view as the value of a tag, in at most 5000 characters, which is MLflow's limit."""
    return json.dumps(comparison_view(parent), separators=(",", ":"))


def comparison_view(parent: str) -> dict[str, Any]:
    """The table and the charts of one comparison, in the format of MLflow's page."""
    return {
        "searchFilter": children_filter(parent),
        "orderByKey": "metrics.`test/lse_d`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(_COLUMNS),
        "columnOrder": list(_COLUMNS),
        "columnWidths": dict(_COLUMNS),
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": _charts(),
        "compareRunSections": [
            {
                "uuid": uuid,
                "name": name,
                "columns": columns,
                "cardHeight": height,
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": True,
            }
            for uuid, (name, columns, height) in _SECTIONS.items()
        ],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
    }


def _charts() -> list[dict[str, Any]]:
    parallel = {
        **_chart("PARALLEL", "variants", "parallel"),
        "selectedParams": list(_AXES),
        "selectedMetrics": [*reversed(_SCORES[:4])],  # the last one sets the colour
        "showAllRuns": False,
    }
    bars = [{**_chart("BAR", "scores", metric), "metricKey": metric} for metric in _SCORES]
    lines = [
        {**_chart("LINE", "curves", metric), **_LINE, "metricKey": metric, "selectedMetricKeys": [metric]}
        for metric in _CURVES
    ]
    return [parallel, *bars, *lines]


def _chart(kind: str, section: str, name: str) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"{section}-{name}",
        "metricSectionId": section,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }
