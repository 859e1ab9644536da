"""MLflow runs: one run per model, no duplicates, and only a warning for an unreachable store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.core.layout import Layout
from pipeline.inference.saved_model import save_model
from pipeline.params import Params, load_params
from pipeline.tracking.runs import identity_of
from pipeline.tracking.tracker import Tracker, open_tracker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Layout:
    root = tmp_path_factory.mktemp("tracking")
    shutil.copy(repo_root / "params.yaml", root)
    return Layout(root)


@pytest.fixture
def params(store: Layout) -> Params:
    return load_params(store.params_path)


class Client:
    """A client that accepts metrics. While ``is_away`` is true every request fails and is counted."""

    def __init__(self) -> None:
        self.is_away = False
        self.num_failed = 0
        self.steps: list[int] = []
        self.status = "RUNNING"

    def get_run(self, run: str) -> None:
        if self.is_away:
            self.num_failed += 1
            raise ConnectionError("no answer from http://anna:hunter2@store")

    def log_batch(self, run: str, metrics: list[Any]) -> None:
        self.get_run(run)
        self.steps += [metric.step for metric in metrics]

    def log_artifact(self, run: str, path: str, folder: str | None) -> None:
        self.get_run(run)
        raise PermissionError("too large")

    def set_terminated(self, run: str, status: str) -> None:
        self.get_run(run)
        self.status = status


@pytest.fixture
def client() -> Any:
    return Client()


def test_an_unreachable_store_does_not_stop_a_stage_and_its_password_is_not_logged(
    store: Layout, params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:hunter2@127.0.0.1:9")
    with open_tracker(store, "compare", None, params, "f", {"seed": 1}) as tracker:
        tracker.log_metrics({"x": 1.0})
    assert tracker.run_id is None
    assert "not tracked" in caplog.text
    assert "hunter2" not in caplog.text


def test_records_of_an_outage_are_sent_after_it_with_one_warning(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pipeline.tracking.tracker._PAUSE_S", 0.0)
    tracker = Tracker(client, "run")
    for step in range(6):
        client.is_away = 2 <= step < 5
        tracker.log_metrics({"x": 1.0}, step)
        assert client.steps == list(range(2 if client.is_away else step + 1))
    assert caplog.text.count("does not answer") == 1
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_store_that_hangs_gets_two_requests_and_then_none_until_the_end(
    client: Any, caplog: pytest.LogCaptureFixture, comes_back: bool
) -> None:
    tracker = Tracker(client, "run")
    tracker.log_metrics({"x": 1.0}, 0)
    client.is_away = True
    for step in range(1, 100):
        tracker.log_metrics({"x": 1.0}, step)
    assert client.num_failed == 2
    client.is_away = not comes_back
    tracker.finish("FINISHED")
    assert (client.steps, client.status) == ((list(range(100)), "FINISHED") if comes_back else ([0], "RUNNING"))
    assert ("run run lacks metrics, status FINISHED" in caplog.text) is not comes_back


def test_a_rejected_record_is_named_and_does_not_block_others(
    client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Tracker(client, "run")
    tracker.log_artifact(tmp_path / "curve.png")
    tracker.log_metrics({"x": 1.0}, 3)
    tracker.finish("FINISHED")
    assert (client.steps, client.status) == ([3], "FINISHED")
    assert "MLflow rejected curve.png; the stage continues without it: too large" in caplog.text
    assert "lacks" not in caplog.text


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
