"""A journal that an answering store does not take does not block the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.tracking import delivery
from pipeline.tracking.delivery import journaled, send_left_runs
from pipeline.tracking.journal import create_journal, set_aside_dir, spool_dir
from pipeline.tracking.sender import OpenedRun
from tests.support.run_store import FakeStore


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    fake = FakeStore()
    monkeypatch.setattr(delivery, "open_client", lambda layout: fake)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return fake


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def leave_journal(layout: Layout, key: str) -> Path:
    journal = create_journal(layout, {"key": key})
    journal.append({"kind": "batch", "metrics": [["l1", 0.5, 0, 7]], "params": {}, "tags": {}})
    journal.close()
    return journal.folder


def refusing(store: FakeStore, error: Exception) -> Callable[..., OpenedRun]:
    """An ``open_run`` that fails for the run ``old``."""

    def open_run(client: Any, layout: Layout, run: Mapping[str, Any]) -> OpenedRun:
        if run["key"] == "old":
            raise error
        return store.open(client, layout, run)

    return open_run


REJECTED = MlflowException.invalid_parameter_value("the tag is too long")


@pytest.mark.parametrize(
    "error", [KeyError("start_ms"), TypeError("'int' object"), REJECTED], ids=lambda e: type(e).__name__
)
def test_a_run_that_cannot_be_opened_is_set_aside_and_the_others_are_sent(
    store: FakeStore, layout: Layout, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    old = leave_journal(layout, "old")
    leave_journal(layout, "other")
    with journaled(layout, lambda: {"key": "next"}, refusing(store, error)) as (client, sending):
        assert client is not None
        client.set_terminated("?", "FINISHED")
        assert sending.finish() == "id-next"
    assert store.opened == ["other", "next"] and store.steps == [7]
    assert not any(spool_dir(layout).iterdir())
    kept = set_aside_dir(layout) / old.name
    assert f"they are kept in {kept} ({type(error).__name__}: " in caplog.text
    assert json.loads((kept / "run.json").read_text()) == {"key": "old"}
    assert '"l1"' in (kept / "records.jsonl").read_text()


@pytest.mark.parametrize("name", ["run.json", "records.jsonl", "sent", "opened.json"])
def test_a_damaged_journal_is_set_aside(store: FakeStore, layout: Layout, name: str) -> None:
    old = leave_journal(layout, "old")
    (old / name).write_text("{damaged\n")
    leave_journal(layout, "other")
    assert send_left_runs(layout, store.open) == 1
    assert store.opened == ["other"]
    assert [path.name for path in set_aside_dir(layout).iterdir()] == [old.name]


@pytest.mark.parametrize(
    "error",
    [ConnectionError("no answer"), MlflowException("disk full"), TemporaryError("a lock is held"), OSError(28, "full")],
    ids=lambda e: type(e).__name__,
)
def test_an_outage_sets_nothing_aside(store: FakeStore, layout: Layout, error: Exception) -> None:
    old = leave_journal(layout, "old")
    with pytest.raises(TemporaryError, match="the records stay on this disk"):
        send_left_runs(layout, refusing(store, error))
    assert [path.name for path in spool_dir(layout).iterdir()] == [old.name]
    assert not set_aside_dir(layout).exists()


def test_a_store_that_stops_to_answer_sets_nothing_aside(store: FakeStore, layout: Layout) -> None:
    old = leave_journal(layout, "old")

    def open_run(client: Any, layout: Layout, run: Mapping[str, Any]) -> OpenedRun:
        store.fault = ConnectionError("no answer")
        raise KeyError("experiments")

    with pytest.raises(TemporaryError, match="the records stay on this disk"):
        send_left_runs(layout, open_run)
    assert [path.name for path in spool_dir(layout).iterdir()] == [old.name]
