"""The status of a parent run while several of its children run, and what `Tracker` returns."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.tracking.recorder import send_record
from pipeline.tracking.tracker import Tracker


class Page(list[Any]):
    token = ""


class Runs:
    """A client with a parent ``p`` and children of these statuses, two on a page."""

    def __init__(self, **statuses: str) -> None:
        self.statuses = {"p": "RUNNING", **statuses}

    def get_run(self, run: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(experiment_id="0"))

    def search_runs(self, experiments: list[str], text: str, page_token: str | None = None) -> Page:
        assert (experiments, text) == (["0"], "tags.`mlflow.parentRunId` = 'p'")
        children = [SimpleNamespace(info=SimpleNamespace(status=s)) for name, s in self.statuses.items() if name != "p"]
        start = int(page_token or 0)
        page = Page(children[start : start + 2])
        page.token = str(start + 2) if start + 2 < len(children) else ""
        return page

    def set_terminated(self, run: str, status: str, end_ms: int) -> None:
        self.statuses[run] = status


def end(client: Runs, run: str, status: str) -> str:
    """The parent's status after a child has ended."""
    send_record(cast(Any, client), run, "p", Path(), {"kind": "status", "status": status, "end_ms": 1})
    assert client.statuses[run] == status
    return client.statuses["p"]


def test_a_comparison_runs_until_its_last_variant_ends_and_a_later_success_hides_no_failure() -> None:
    client = Runs(a="RUNNING", b="RUNNING", c="RUNNING")
    assert [end(client, "a", "FAILED"), end(client, "b", "FINISHED"), end(client, "c", "FINISHED")] == [
        "RUNNING",
        "RUNNING",
        "FAILED",
    ]
    assert end(client, "a", "FINISHED") == "FINISHED"  # it was trained again


@pytest.mark.parametrize(
    ("others", "expected"), [({}, "KILLED"), ({"b": "FAILED"}, "FAILED"), ({"b": "FINISHED"}, "KILLED")]
)
def test_the_worst_status_of_the_children_counts(others: dict[str, str], expected: str) -> None:
    assert end(Runs(a="RUNNING", **others), "a", "KILLED") == expected


def test_a_run_without_a_parent_gets_its_status() -> None:
    client = Runs()
    send_record(cast(Any, client), "p", None, Path(), {"kind": "status", "status": "FINISHED", "end_ms": 1})
    assert client.statuses == {"p": "FINISHED"}


def test_rows_of_a_curve_count_as_recorded_only_if_they_are(caplog: pytest.LogCaptureFixture) -> None:
    def full(run: str, **_: Any) -> None:
        raise OSError(28, "No space left on device")

    rows = [(1, {"l1": 0.5})]
    assert Tracker(cast(Any, SimpleNamespace(log_batch=lambda run, **_: None)), "?").log_curve(rows)
    assert not Tracker(cast(Any, SimpleNamespace(log_batch=full)), "?").log_curve(rows)
    assert "metrics cannot be tracked" in caplog.text
    assert not Tracker(None, None).log_curve(rows)
