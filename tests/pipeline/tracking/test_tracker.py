"""MLflow runs: one run per model, no duplicates, and only a warning for an unreachable store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.core.layout import Layout
from pipeline.inference.saved_model import save_model
from pipeline.params import Params, load_params
from pipeline.tracking import delivery
from pipeline.tracking.runs import identity_of
from pipeline.tracking.tracker import open_tracker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Layout:
    root = tmp_path_factory.mktemp("tracking")
    shutil.copy(repo_root / "params.yaml", root)
    return Layout(root)


@pytest.fixture
def params(store: Layout) -> Params:
    return load_params(store.params_path)


def test_an_unreachable_store_does_not_stop_a_stage_and_its_password_is_not_logged(
    store: Layout, params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:hunter2@127.0.0.1:9")
    with open_tracker(store, "compare", None, params, "f", {"seed": 1}) as tracker:
        tracker.log_metrics({"x": 1.0})
    assert tracker.run_id is None
    assert "MLflow cannot be used; the stage continues" in caplog.text
    assert "`mlflow server --port 9`" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_repeat_of_a_variant_is_tagged_with_its_own_seed(store: Layout, params: Params) -> None:
    again = {"no_lstm-2": params.variants["no_lstm"].model_copy(update={"seed": 5})}
    more = params.model_copy(update={"variants": params.variants | again})
    seeds = [identity_of(store, "train_gan", name, more, "f").tags["seed"] for name in ("no_lstm", "no_lstm-2")]
    assert seeds == ["1234", "5"]


@pytest.mark.slow
def test_training_and_evaluation_share_a_run_and_a_resumed_training_reopens_it(
    store: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(delivery, "INTERRUPTED_WAIT_S", 300.0)  # MLflow starts in this time
    with pytest.raises(KeyboardInterrupt), open_tracker(store, "train_gan", "no_lstm", params, "abc", {}) as first:
        first.log_curve([(1, {"l1": 0.5}), (2, {"l1": 0.4})])
        raise KeyboardInterrupt
    with open_tracker(store, "train_gan", "no_lstm", params, "abc", {}) as again:
        again.log_curve([(3, {"l1": 0.3, "bad": float("nan")})])
        folder = store.model_dir("train_gan", "no_lstm")
        save_model(folder, kind="generator", config={}, state={}, info={"fingerprint": "abc"})
        again.log_artifact(folder, "model")
        again.log_summary("train_gan", {"val_l1": 0.3, "seconds": 7, "precision": "fp32"})
    with open_tracker(store, "evaluate", "no_lstm", params, "def", {}) as evaluation:
        scores = {"fid": 12.5, "protocol": {"num_pairs": 3}, "offset_histogram": {"0": 4}, "evaluator": "trained"}
        evaluation.log_summary("evaluate", scores)
        unfit = {"fitness": {"is_fit": False}, "lse_d": 7.0, "lse_c": 0.1, "offset_histogram": {"0": 4}, "kid": 0.5}
        evaluation.log_summary("evaluate", unfit)
    assert first.run_id == again.run_id == evaluation.run_id
    assert first.run_id is not None

    client = MlflowClient(f"sqlite:///{store.mlflow_db_path}")
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "no_lstm"
    assert [point.step for point in client.get_metric_history(first.run_id, "train/l1")] == [1, 2, 3]
    summary = {"val/kept_l1": 0.3, "train/seconds": 7.0}
    assert run.data.metrics == {"train/l1": 0.3, "test/fid": 12.5, "test/kid": 0.5} | summary
    named = {"variant": "no_lstm", "network": "wav2lip", "use_lstm": "false", "use_cbam": "true", "seed": "1234"}
    assert named.items() <= run.data.params.items()
    assert run.data.params["num_steps"] == str(params.train_gan.num_steps)
    assert run.data.params["evaluate.reference"] == params.evaluate.reference
    assert {"variant", "host", "device", "params_sha256"} <= set(run.data.tags)
    assert run.data.tags["kind"] == "variant"
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert (parent.data.tags["kind"], parent.info.status) == ("comparison", "FINISHED")
    artifacts = {found.path for folder in ("model", "metrics") for found in client.list_artifacts(first.run_id, folder)}
    assert artifacts == {
        "metrics/evaluate.json",
        "metrics/train_gan.json",
        "model/model.json",
        "model/weights.safetensors",
    }
