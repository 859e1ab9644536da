"""A sweep's points in a real MLflow store."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.tracking import sweep
from pipeline.tracking.store import open_client

POINTS = [
    {"name": "s-1", "overrides": {"seed": 1}, "metrics": {"lstm_cbam": {"lse_d": 7.5, "fid": 20.0}, "withheld": "no"}},
    {"name": "s-2", "overrides": {"seed": 2}, "metrics": {"lstm_cbam": {"lse_d": None, "fid": math.inf}}},
]


@pytest.fixture
def layout(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, tmp_path)
    return Layout(tmp_path)


@pytest.mark.slow
def test_points_are_children_of_one_run_and_are_logged_once(layout: Layout) -> None:
    parent = sweep.log_sweep(layout, "s", POINTS[:1])
    (layout.root / "points.json").write_text(json.dumps({"points": POINTS[:1]}))
    arguments = ["--name", "s", "--points", str(layout.root / "points.json"), "--root", str(layout.root)]
    assert sweep.main(arguments) == 0
    assert sweep.log_sweep(layout, "s", POINTS) == parent
    client = open_client(layout)
    experiment = client.get_experiment_by_name("lipsmith-demo")
    assert experiment is not None
    children = {
        run.info.run_name: run
        for run in client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    }
    assert set(children) == {"s-1", "s-2"}
    assert children["s-1"].data.params == {"seed": "1"}
    assert children["s-1"].data.metrics == {"lstm_cbam.lse_d": 7.5, "lstm_cbam.fid": 20.0}
    run_id = children["s-1"].info.run_id
    client.update_run(run_id, status="RUNNING")  # as if a process had ended while it logged this point
    sweep.log_sweep(layout, "s", POINTS)
    assert len(client.get_metric_history(run_id, "lstm_cbam.fid")) == 1
    assert client.get_run(run_id).info.status == "FINISHED"
    assert all(run.info.status == "FINISHED" for run in (*children.values(), client.get_run(parent)))


def test_a_store_that_cannot_be_used_is_a_temporary_error(layout: Layout) -> None:
    layout.mlflow_db_path.write_text("no database")
    with pytest.raises(TemporaryError, match=r"MLflow at sqlite:///.*mlflow\.db"):
        sweep.log_sweep(layout, "s", POINTS)
