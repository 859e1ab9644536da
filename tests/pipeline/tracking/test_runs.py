"""Finding the run that trained a model, on a real MLflow server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipeline.core.layout import Layout
from pipeline.inference.saved_model import model_sha256
from pipeline.tracking.runs import KEY_TAG, MODEL_TAG, find_training
from pipeline.tracking.store import open_client
from pipeline.tracking.tracker import Tracker


@pytest.mark.slow
def test_the_run_that_trained_a_model_is_found_among_runs_with_the_same_key(
    tmp_path: Path, mlflow_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_address)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    layout = Layout(tmp_path)
    weights = layout.weights_path("train_gan", "no_lstm")
    weights.parent.mkdir(parents=True)
    weights.write_text("w")
    digest = model_sha256(weights.parent)

    client = open_client(layout)
    experiment = client.create_experiment(f"runs-{time.time_ns()}")

    def created(stage: str, start: int, **more: str) -> str:
        tags = {KEY_TAG: "train_gan:no_lstm:f", "stage": stage, **more}
        return str(client.create_run(experiment, start_time=start, tags=tags).info.run_id)

    assert find_training(client, experiment, "train_gan:no_lstm:f", digest) is None
    created("evaluate", 9)
    created("train_gan", 8, **{MODEL_TAG: "another model"})
    assert find_training(client, experiment, "train_gan:no_lstm:f", digest) is None
    untagged = [created("train_gan", start) for start in (1, 2)]  # as earlier releases did
    assert find_training(client, experiment, "train_gan:no_lstm:f", digest) == untagged[1]
    Tracker(client, untagged[0]).log_model_digest(weights)
    assert find_training(client, experiment, "train_gan:no_lstm:f", digest) == untagged[0]
    Tracker(client, untagged[1]).log_model_digest(weights.with_name("missing"))
    assert MODEL_TAG not in client.get_run(untagged[1]).data.tags
