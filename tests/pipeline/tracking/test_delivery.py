"""A stage never waits for the store, and no record of it is lost while the store cannot be used."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.tracking import delivery, sender
from pipeline.tracking.delivery import journaled, send_left_runs
from pipeline.tracking.journal import create_journal, left_journals, spool_dir
from pipeline.tracking.recorder import joined
from tests.support.run_store import FakeStore

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStore]:
    fake = FakeStore()
    monkeypatch.setattr(delivery, "open_client", lambda layout: fake)
    monkeypatch.setattr(sender, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(sender, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield fake
    fake.answers.set()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def metric(step: int) -> Metric:
    return Metric("l1", 0.5, 0, step)


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_records_arrive_in_order_and_the_journal_is_removed(store: FakeStore, layout: Layout, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("1")
    store.params = {"lr": "0.1", "width": "2"}
    with journaled(layout, lambda: {"key": "a"}, store.open) as (client, sending):
        assert client is not None
        client.log_batch("?", params=[Param("lr", "0.2"), Param("width", "2"), Param("seed", "1")])
        for step in range(3):
            client.log_batch("?", metrics=[metric(step)])
        client.log_artifacts("?", str(model), "model")
        (model / "weights").unlink()
        (model / "weights").write_text("of a later training")
        client.log_batch("?", tags=[RunTag("note", "x")])
        client.set_terminated("?", "FINISHED")
        assert sending.finish() == "id-a"
    assert store.steps == [0, 1, 2]
    assert store.params == {"lr": "0.1", "width": "2", "seed": "1"}
    assert store.tags == {"param.lr": "0.2", "note": "x"}  # MLflow cannot change a parameter
    assert store.files == {"model/weights": "1"}
    assert store.statuses == [("id-a", "FINISHED")]
    assert store.opened == ["a"]
    assert not any(spool_dir(layout).iterdir())


def test_a_parameter_that_changes_back_is_the_newest_value(store: FakeStore, layout: Layout) -> None:
    store.params = {"lr": "0.1"}
    with journaled(layout, lambda: {"key": "a"}, store.open) as (client, sending):
        assert client is not None
        for value in ("0.2", "0.1"):
            client.log_batch("?", params=[Param("lr", value)])
        sending.finish()
    assert store.tags == {"param.lr": "0.1"}


def test_a_tag_with_the_name_of_a_parameter_is_not_its_newest_value(store: FakeStore, layout: Layout) -> None:
    store.params, store.tags = {"variant": "lstm_cbam"}, {"variant": "lstm_cbam-2"}
    with journaled(layout, lambda: {"key": "a"}, store.open) as (client, sending):
        assert client is not None
        client.log_batch("?", params=[Param("variant", "lstm_cbam")])
        sending.finish()
    assert store.tags == {"variant": "lstm_cbam-2"}


def test_a_record_for_which_the_disk_has_no_room_leaves_the_others_readable(layout: Layout) -> None:
    journal = create_journal(layout, {"key": "a"})
    journal.append({"kind": "status", "status": "RUNNING"})
    size = (journal.folder / "records.jsonl").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(OSError):
            journal.append({"kind": "a record that is longer than the room on the disk"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.append({"kind": "last"})
    assert [record["kind"] for record, _ in journal.unsent()] == ["status", "last"]
    assert journal.has_status()
    journal.close()


def test_datasets_and_dictionaries_arrive_unchanged(store: FakeStore, layout: Layout) -> None:
    used = DatasetInput(
        Dataset("demo-train", "d1", "local", '{"uri": "data/clips"}', profile='{"num_clips": 3}'),
        [InputTag("mlflow.data.context", "training")],
    )
    with journaled(layout, lambda: {"key": "a"}, store.open) as (client, sending):
        assert client is not None
        client.log_inputs("?", [used])
        client.log_dict("?", {"lse_d": 7.5, "kept": None}, "metrics/evaluate.json")
        sending.finish()
    assert [dict(found.dataset) for found in store.inputs] == [dict(used.dataset)]
    assert [dict(tag) for tag in store.inputs[0].tags] == [dict(tag) for tag in used.tags]
    assert json.loads(store.files["metrics/evaluate.json"]) == {"lse_d": 7.5, "kept": None}


def test_a_store_that_hangs_delays_neither_the_stage_nor_its_end_and_the_next_stage_sends_the_records(
    store: FakeStore, layout: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery, "LOCAL_WAIT_S", 0.2)
    store.answers.clear()
    started = time.monotonic()
    with journaled(layout, lambda: {"key": "a"}, store.open) as (client, sending):
        assert client is not None
        for step in range(200):
            client.log_batch("?", metrics=[metric(step)])
        client.set_terminated("?", "FINISHED")
        assert sending.finish() is None
    assert time.monotonic() - started < 8
    assert "python -m pipeline sync-runs" in caplog.text
    assert store.num_requests == 1  # the stage's records did not cause one each


def test_records_of_an_experiment_outlast_its_temporary_copy_of_the_checkout(store: FakeStore, tmp_path: Path) -> None:
    copy = Layout(tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc")
    store.fault = ConnectionError("no answer")
    with journaled(copy, lambda: {"key": "a"}, store.open) as (client, sending):
        assert client is not None
        client.log_batch("?", metrics=[metric(1)])
        assert sending.finish() is None
    shutil.rmtree(copy.root, ignore_errors=True)
    store.fault = None
    assert send_left_runs(Layout(tmp_path), store.open) == 1
    assert store.steps == [1]


@pytest.mark.parametrize("comes_back", [True, False], ids=["comes back", "stays away"])
def test_an_outage_causes_one_warning_and_loses_nothing(
    store: FakeStore, layout: Layout, caplog: pytest.LogCaptureFixture, comes_back: bool
) -> None:
    with journaled(layout, lambda: {"key": "a"}, store.open) as (client, sending):
        assert client is not None
        client.log_batch("?", metrics=[metric(0)])
        wait_until(lambda: store.steps == [0])
        store.fault = ConnectionError("no answer from http://anna:hunter2@store")
        for step in range(1, 4):
            client.log_batch("?", metrics=[metric(step)])
        wait_until(lambda: "MLflow cannot be used" in caplog.text)
        if comes_back:
            store.fault = None
            wait_until(lambda: store.steps == [0, 1, 2, 3])
        client.set_terminated("?", "FINISHED")
        assert (sending.finish() is None) is not comes_back
    assert caplog.text.count("its records wait on this disk") == 1
    assert "hunter2" not in caplog.text
    if not comes_back:
        with pytest.raises(TemporaryError, match=r"no answer.*the records stay on this disk"):
            send_left_runs(layout, store.open)
        assert store.steps == [0]
        store.fault = None
        assert send_left_runs(layout, store.open) == 1
    assert store.steps == [0, 1, 2, 3]
    assert store.statuses == [("id-a", "FINISHED")]
    assert send_left_runs(layout, store.open) == 0


def test_a_write_that_fails_in_the_server_is_kept_and_a_rejected_one_does_not_block_others(
    store: FakeStore, layout: Layout, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "curve.png").write_text("c")
    for rejects, is_lost in ((MlflowException("disk full"), False), (PermissionError("too large"), True)):
        store.rejects = rejects
        with journaled(layout, partial(dict, key=str(is_lost)), store.open) as (client, sending):
            assert client is not None
            client.log_artifact("?", str(tmp_path / "curve.png"), None)
            client.log_batch("?", metrics=[metric(int(is_lost))])
            client.set_terminated("?", "FINISHED")
            sending.finish()
        store.rejects = None
        send_left_runs(layout, store.open)
    assert "MLflow rejected curve.png, which is lost: too large" in caplog.text
    assert sorted(store.steps) == [0, 1]
    assert store.files == {"None/curve.png": "c"}


KILLED = """
import os, sys
from pathlib import Path
from pipeline.core.layout import Layout
from pipeline.tracking.journal import create_journal
journal = create_journal(Layout(Path(sys.argv[1])), {"key": "killed"})
journal.append({"kind": "batch", "metrics": [["l1", 0.5, 0, 7]], "params": {}, "tags": {}})
with (journal.folder / "records.jsonl").open("a") as file:
    file.write('{"kind": "ba')
    file.flush()
    os.kill(os.getpid(), 9)
"""


def test_the_next_stage_sends_what_a_killed_stage_left_and_leaves_running_stages_alone(
    store: FakeStore, layout: Layout
) -> None:
    command = [sys.executable, "-c", KILLED, str(layout.root)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    running = create_journal(layout, {"key": "running"})
    running.append({"kind": "batch", "metrics": [["l1", 0.5, 0, 9]], "params": {}, "tags": {}})
    with journaled(layout, lambda: {"key": "next"}, store.open) as (client, sending):
        assert client is not None
        client.log_batch("?", metrics=[metric(1)])
        client.set_terminated("?", "FINISHED")
        assert sending.finish() == "id-next"
    assert store.opened == ["killed", "next"]
    assert store.steps == [7, 1]
    assert store.statuses == [("id-killed", "KILLED"), ("id-next", "FINISHED")]
    assert [path.name for path in spool_dir(layout).iterdir()] == [running.folder.name]
    assert not list(left_journals(layout))
    running.close()


def test_neighbouring_metrics_of_a_backlog_share_requests() -> None:
    def batch(*steps: int, **more: dict[str, str]) -> dict[str, Any]:
        return {"kind": "batch", "metrics": [["l1", 0.5, 0, s] for s in steps], "params": {}, "tags": {}, **more}

    status = {"kind": "status", "status": "FINISHED", "end_ms": 0}
    records = [batch(1), batch(2), batch(3, tags={"a": "b"}), batch(4), status, batch(*range(499)), batch(1, 2)]
    found = list(joined((record, end) for end, record in enumerate(records)))
    assert [end for _, end in found] == [1, 2, 3, 4, 5, 6]
    assert [len(record.get("metrics", [])) for record, _ in found] == [2, 1, 1, 0, 499, 2]
    json.dumps(found)


def test_a_run_that_cannot_be_described_or_written_is_not_tracked_and_does_not_end_the_stage(
    store: FakeStore, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    def damaged() -> Mapping[str, Any]:
        raise TemporaryError("model.json is damaged")

    spool_dir(layout).parent.mkdir(parents=True)
    spool_dir(layout).touch()  # a file where the folder should be
    for describe in (damaged, dict):
        with journaled(layout, describe, store.open) as (client, sending):
            assert client is None
            assert sending.finish() is None
    assert "this run is not tracked: model.json is damaged" in caplog.text
    assert caplog.text.count("this run is not tracked") == 2
