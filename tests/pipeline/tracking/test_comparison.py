"""A comparison in MLflow: one child for every row, also for results that DVC restored, and a page that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient

from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.inference.saved_model import save_model
from pipeline.params import Params, load_params
from pipeline.tracking.comparison import complete_comparison
from pipeline.tracking.store import experiment_name
from pipeline.tracking.tracker import open_tracker
from pipeline.tracking.view import comparison_view, latest_view, view_text

pytestmark = pytest.mark.slow
SCORES = {"lse_d": 7.123456789, "lse_c": 5.0, "fid": 20.0, "within_one_frame": 0.5, "num_failed": 0}


@pytest.fixture(scope="module")
def params(repo_root: Path) -> Params:
    """The parameters of a folder of videos, whose experiment no other test of the shared server uses."""
    content = load_params(repo_root / "params.yaml")
    return content.model_copy(update={"dataset": content.dataset.model_copy(update={"source": "folder"})})


@pytest.fixture
def layout(tmp_path: Path, mlflow_address: str, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_address)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    return Layout(tmp_path)


def write_results(layout: Layout, name: str, lse_d: float) -> dict[str, Any]:
    """Files of the stages train_gan and evaluate. Returns the row of the comparison."""
    row = {**SCORES, "variant": name, "lse_d": lse_d}
    atomic.write_json(layout.metrics_path("evaluate", name), row)
    (layout.stage_dir("evaluate", name) / "clips.csv").write_text("clip_id\n")
    if name != "real":
        atomic.write_json(layout.metrics_path("train_gan", name), {"val_l1": 0.25, "seconds": 2.0})
        folder = layout.stage_dir("train_gan", name)
        for picture in ("curve.png", "samples.png"):
            (folder / picture).write_bytes(b"png")
        (folder / "curve.csv").write_text("step,l1,val_l1\n1,0.5,\n2,0.4,0.25\n")
        save_model(folder / "model", kind="generator", config={}, state={}, info={"fingerprint": f"of {name}"})
    return row


def test_every_row_gets_a_run_and_the_page_shows_the_scores(layout: Layout, params: Params) -> None:
    rows = [write_results(layout, name, lse_d) for name, lse_d in (("lstm_cbam", 7.0), ("lipgan", 8.0), ("real", 6.0))]
    content = {"rows": rows, "fitness": {"text": "The evaluator can judge these clips."}}
    atomic.write_json(layout.comparison_path, content)
    with open_tracker(layout, "evaluate", "lstm_cbam", params, "f", {}) as evaluated:
        evaluated.log_summary("evaluate", rows[0])
    for _ in range(2):  # a repeated stage makes no second children
        with open_tracker(layout, "compare", None, params, "f", {}) as comparison:
            pass
        complete_comparison(layout, params, str(comparison.run_id))

    client, parent = MlflowClient(), str(comparison.run_id)
    experiment = client.get_run(parent).info.experiment_id
    assert client.get_experiment(experiment).name == experiment_name("folder")
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    runs = {run.info.run_name: run for run in children}
    assert len(children) == 3 and runs.keys() == {"lstm_cbam", "lipgan", "real"}
    assert runs["lstm_cbam"].info.run_id == evaluated.run_id and "restored" not in runs["lstm_cbam"].data.tags
    restored = runs["lipgan"]
    assert restored.data.tags["restored"] == "true"
    assert restored.data.params.items() >= {"network": "lipgan", "use_lstm": "false", "seed": "1234"}.items()
    assert restored.data.metrics.items() >= {"test/lse_d": 8.0, "val/kept_l1": 0.25, "train/l1": 0.4}.items()
    assert [point.step for point in client.get_metric_history(restored.info.run_id, "train/l1")] == [1, 2]
    assert runs["real"].data.params["network"] == "none"

    note = client.get_run(parent).data.tags["mlflow.note.content"]
    for run in children:
        assert f"(#/experiments/{experiment}/runs/{run.info.run_id}?workflowType=machine_learning)" in note
    view = latest_view(client, experiment)
    assert view and f"viewStateShareKey={view}" in note
    saved = json.loads(client.get_experiment(experiment).tags[f"mlflow.sharedViewState.{view}"])
    assert parent in saved["searchFilter"]

    client.update_run(restored.info.run_id, status="RUNNING")  # as if a process had ended while it made this run
    complete_comparison(layout, params, parent)
    again = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(run.info.run_name for run in again) == ["lipgan", "lstm_cbam", "real"]
    assert restored.info.run_id not in {run.info.run_id for run in again}
    assert all(run.info.status == "FINISHED" for run in again)


def test_the_saved_view_uses_names_that_the_runs_have(params: Params) -> None:
    from pipeline.tracking.names import TEST_METRICS, variant_params

    view = comparison_view("p")
    known = {f"params.`{name}`" for name in variant_params("lstm_cbam", params)}
    known |= {f"metrics.`test/{name}`" for name in TEST_METRICS}
    assert set(view["selectedColumns"]) <= known
    (parallel,) = (chart for chart in view["compareRunCharts"] if chart["type"] == "PARALLEL")
    assert {f"params.`{name}`" for name in parallel["selectedParams"]} <= known
    assert len(view_text("p" * 32)) <= 5000
    sections = {section["uuid"] for section in view["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == sections


def test_the_address_asks_for_the_page_of_training_runs() -> None:
    from pipeline.tracking.view import runs_address

    address = urlsplit(runs_address("3", "comparison-1").replace("#/", "http://x/"))
    assert address.path == "/experiments/3/runs"
    assert parse_qs(address.query) == {"workflowType": ["machine_learning"], "viewStateShareKey": ["comparison-1"]}
