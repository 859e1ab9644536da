"""Records that are sent a second time, on a real MLflow server.

A process may end after the store has accepted a record and before the journal says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.core.layout import Layout
from pipeline.tracking.datasets import Dataset
from pipeline.tracking.delivery import UNSENT_RUN
from pipeline.tracking.journal import Journal, create_journal, left_journals
from pipeline.tracking.recorder import RecordingClient
from pipeline.tracking.runs import PARENT_TAG
from pipeline.tracking.sender import OpenedRun, Store, opened_run, send_left, send_records
from pipeline.tracking.store import open_client
from pipeline.tracking.tracker import Tracker

pytestmark = pytest.mark.slow


@pytest.fixture
def layout(tmp_path: Path, mlflow_address: str, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_address)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    return Layout(tmp_path)


@pytest.fixture
def store(layout: Layout) -> Store:
    """Each opening of a run creates a new one, with a parent of its own."""
    experiment = open_client(layout).create_experiment(f"twice-{time.time_ns()}")

    def open_new(client: MlflowClient, run: Mapping[str, Any]) -> OpenedRun:
        parent = client.create_run(experiment).info.run_id
        return OpenedRun(client.create_run(experiment, tags={PARENT_TAG: parent}).info.run_id, parent)

    return Store(lambda: open_client(layout), open_new)


def full_journal(layout: Layout) -> Journal:
    """A journal with every kind of record."""
    journal = create_journal(layout, {"key": "a"})
    tracker = Tracker(RecordingClient(journal), UNSENT_RUN)  # type: ignore[arg-type]
    tracker.log_params({"width": 0.5, "use_lstm": True})
    tracker.log_params({"width": 0.25})
    tracker.log_curve([(step, {"l1": 1 / (step + 1), "val_l1": 0.5}) for step in range(600)])
    tracker.log_datasets([Dataset("demo-train", "d", "train", "data/clips", {"num_clips": 3})])
    weights = layout.root / "model" / "weights.safetensors"
    weights.parent.mkdir()
    weights.write_text("w")
    tracker.log_artifact(weights.parent, "model")
    tracker.log_artifact(weights)
    tracker.log_model_digest(weights)
    tracker.log_summary("evaluate", {"lse_d": 7.5, "fid": 20.0})
    tracker.finish("FINISHED")
    return journal


def state_of(client: MlflowClient, opened: OpenedRun) -> dict[str, Any]:
    run = client.get_run(opened.run)
    histories = {
        name: [(point.step, point.value, point.timestamp) for point in client.get_metric_history(opened.run, name)]
        for name in run.data.metrics
    }
    return {
        "params": run.data.params,
        "tags": run.data.tags,
        "histories": histories,
        "inputs": [used.dataset.name for used in run.inputs.dataset_inputs],
        "files": [
            found.path for folder in (None, "model", "metrics") for found in client.list_artifacts(opened.run, folder)
        ],
        "statuses": [(client.get_run(i).info.status, client.get_run(i).info.end_time) for i in opened if i],
    }


def test_a_second_sending_changes_nothing(layout: Layout, store: Store) -> None:
    client, journal = store.connect(), full_journal(layout)
    opened = opened_run(client, store, journal, layout)
    send_records(client, opened, journal, layout)
    once = state_of(client, opened)
    assert [len(once["histories"][name]) for name in ("train/l1", "val/l1", "test/fid")] == [600, 600, 1]
    assert once["params"] == {"width": "0.5", "use_lstm": "true"} and once["tags"]["param.width"] == "0.25"
    assert (len(once["inputs"]), len(once["files"])) == (1, 5)
    journal.mark_sent(0)
    send_records(client, opened, journal, layout)
    assert state_of(client, opened) == once
    journal.close()


def test_what_is_sent_later_goes_to_the_same_run(layout: Layout, store: Store) -> None:
    client, journal = store.connect(), full_journal(layout)
    opened = opened_run(client, store, journal, layout)
    end = journal.unsent()[-2][1]
    send_records(client, opened, journal, layout)
    journal.mark_sent(end)  # the last record was accepted, and the process ended
    journal.close()
    once = state_of(client, opened)
    assert send_left(client, store, layout) == 1
    assert state_of(client, opened) == once
    assert len(client.search_runs([client.get_run(opened.run).info.experiment_id])) == 2
    assert not list(left_journals(layout))


def test_a_store_without_the_run_gets_a_new_one(layout: Layout, store: Store) -> None:
    client, journal = store.connect(), full_journal(layout)
    journal.note_opened("0" * 32, None)
    opened = opened_run(client, store, journal, layout)
    assert client.get_run(opened.run).info.status == "RUNNING"
    assert journal.opened == [opened.run, opened.parent]
    journal.close()
