"""The steps of a retraining with tasks that return at once: no server, no stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import retrain
from flows.board import Board, Row, using
from flows.saved_results import SavedResults
from pipeline.core.errors import LipsmithError

CHANGES = ["train_gan.num_steps: 300 -> 600"]
SENTENCE = "Changed in params.yaml for this run: train_gan.num_steps: 300 -> 600. The file keeps them."
DECISION = {"outcome": "promoted", "challenger": {}}
RULES = SimpleNamespace(variant="lstm_cbam", branch="results")


class Ended:
    """The state of an ended run: its result, or its error."""

    def __init__(self, found: Any) -> None:
        self._found, self.message = found, str(found)

    def is_completed(self) -> bool:
        return not isinstance(self._found, Exception)

    def result(self, raise_on_failure: bool = True) -> Any:
        if raise_on_failure and isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.fixture
def ends_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let tasks and flows by name end with a result or an error. Returns the list of published reports."""

    def replace(**found: Any) -> list[str]:
        reports: list[str] = []
        named = {name: lambda *_, _of=value, **__: Ended(_of) for name, value in found.items()}
        if "reproduce" in named:
            monkeypatch.setattr(retrain, "reproduce", named.pop("reproduce"))
        monkeypatch.setattr(retrain, "tasks", SimpleNamespace(publish_report=reports.append, **named))
        monkeypatch.setattr(retrain, "after", lambda *_: [])
        return reports

    return replace


DRIFT = {"stops": False, "text": "The clips do not drift.", "columns": []}
BROKEN = LipsmithError("it is broken")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"detect": BROKEN}, "detection of new clips: it is broken"),
        ({"measure_drift": BROKEN}, "drift of the clips: it is broken"),
        ({"reproduce": BROKEN}, "reproduce: it is broken"),
    ],
    ids=["detect", "drift", "reproduce"],
)
def test_a_run_that_fails_early_states_the_values_that_it_changed(
    ends_with: Callable[..., list[str]], tmp_path: Path, found: dict[str, Any], why: str
) -> None:
    ends_with(**{"preflight": RULES, "detect": None, "measure_drift": DRIFT, **found})
    assert retrain._retrain(tmp_path, None, True, CHANGES).message == f"{why}\n{SENTENCE}"
    assert retrain._retrain(tmp_path, None, True, []).message == why


def test_a_run_that_drift_ends_states_the_values_that_it_changed(
    ends_with: Callable[..., list[str]], tmp_path: Path
) -> None:
    column = {"column": "speaker", "psi": 0.1, "ks": None, "ks_p": None, "drifts": False}
    reports = ends_with(preflight=RULES, detect=None, measure_drift=DRIFT | {"stops": True, "columns": [column]})
    state = retrain._retrain(tmp_path, None, True, CHANGES)
    assert state.is_completed() and state.message == "not retrained: The clips do not drift."
    (text,) = reports
    assert text.startswith(f"# Retraining: not retrained: The clips do not drift.\n\n{SENTENCE}\n\n| column | PSI |")
    retrain._retrain(tmp_path, None, True, [])
    assert "params.yaml" not in reports[1]


@pytest.mark.parametrize(
    ("found", "state", "text"),
    [
        (SavedResults("results", "1a2b3c4d5e6f7890", warnings=("x",)), "ran", "results 1a2b3c4d5e6f, not pushed"),
        (SavedResults("results", warnings=("it is checked out",)), "failed", "it is checked out"),
        (BROKEN, "failed", "not committed: it is broken"),
    ],
    ids=["not pushed", "not committed", "error"],
)
def test_the_live_table_states_what_was_not_done(
    ends_with: Callable[..., list[str]], tmp_path: Path, found: Any, state: Any, text: str
) -> None:
    ends_with(gate=DECISION, commit_promoted=found)
    board = Board()
    board.start("commit", tmp_path / "events")
    board.stop("commit")
    with using(board):
        gated = retrain._run_gate(tmp_path, RULES)  # type: ignore[arg-type]
    (row,) = board.view().rows
    assert row == Row("commit", state, None, text, row.elapsed_s)
    assert gated.saved is not None and gated.saved.warnings


def test_a_missed_commit_is_made_and_nothing_without_a_branch(
    ends_with: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = SavedResults("results", "1a2b3c4d5e6f7890", "storage")
    ends_with(gate=DECISION | {"outcome": "already_champion"}, commit_promoted=saved)
    monkeypatch.setattr(retrain, "needs_saving", lambda root, branch, decision: branch == "results")
    of_branch: dict[str | None, SavedResults | None] = {
        branch: retrain._run_gate(tmp_path, SimpleNamespace(variant="lstm_cbam", branch=branch)).saved  # type: ignore[arg-type]
        for branch in ("results", "other", None)
    }
    assert of_branch == {"results": saved, "other": None, None: None}
