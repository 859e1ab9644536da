"""Which results are still to be committed or sent, and what the live table shows of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import saved_results
from flows.dvc import DvcError
from flows.git import run_git
from flows.saved_results import SavedResults, needs_saving, save_results
from tests.support.results_repo import ALREADY, DECISION, git_repo, unset_identity

pytestmark = pytest.mark.usefixtures("own_git_settings")
OTHER = DECISION | {"challenger": DECISION["challenger"] | {"model_sha256": "b" * 64}}


class Remote:
    """Stands for DVC's default remote. Its name is empty if there is none."""

    def __init__(self) -> None:
        self.name, self.is_full = "storage", False

    def push(self, root: Path, on_line: object) -> str:
        if self.is_full:
            raise DvcError("the disk is full\nmore lines")
        return self.name


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Remote:
    made = Remote()
    monkeypatch.setattr(saved_results, "default_remote", lambda root: made.name)
    monkeypatch.setattr(saved_results, "push_outputs", made.push)
    return made


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return git_repo(tmp_path / "checkout")


def test_only_the_results_of_a_champion_are_saved(repo: Path, remote: Remote) -> None:
    assert needs_saving(repo, "results", DECISION)
    for outcome in ("refused", "not_comparable"):
        assert not needs_saving(repo, "results", DECISION | {"outcome": outcome})


def test_a_commit_that_an_earlier_run_missed_is_made_later(repo: Path, remote: Remote) -> None:
    """The model is the champion, but git had no identity, or the run was interrupted before the commit."""
    assert needs_saving(repo, "results", ALREADY)
    unset_identity(repo)
    assert save_results(repo, "results", ALREADY, print).commit == ""
    assert needs_saving(repo, "results", ALREADY)
    run_git(repo, "config", "user.name", "Anna")
    run_git(repo, "config", "user.email", "anna@example.org")
    saved = save_results(repo, "results", ALREADY, print)
    assert saved == SavedResults("results", run_git(repo, "rev-parse", "results"), "storage")
    assert not needs_saving(repo, "results", ALREADY)


def test_the_results_of_another_champion_are_committed_on_top(repo: Path, remote: Remote) -> None:
    save_results(repo, "results", DECISION, print)
    other = OTHER | {"outcome": "already_champion"}
    assert needs_saving(repo, "results", other)
    (repo / "metrics.json").write_text('{"lse_d": 7.0}\n')
    save_results(repo, "results", other, print)
    assert not needs_saving(repo, "results", other) and needs_saving(repo, "results", ALREADY)


def test_a_push_that_failed_is_made_later(repo: Path, remote: Remote) -> None:
    remote.is_full = True
    failed = save_results(repo, "results", DECISION, print)
    assert failed.warnings == (
        f"the files of commit {failed.commit[:12]} are not all in a DVC remote: the disk is full",
    )
    assert needs_saving(repo, "results", ALREADY)
    remote.is_full = False
    assert save_results(repo, "results", ALREADY, print) == SavedResults("results", failed.commit, "storage")
    assert not needs_saving(repo, "results", ALREADY)
    remote.is_full = True
    save_results(repo, "results", DECISION, print)  # by hand, after a stage has run
    assert needs_saving(repo, "results", ALREADY)


def test_without_a_remote_nothing_is_left_to_send(repo: Path, remote: Remote) -> None:
    remote.name, remote.is_full = "", True
    save_results(repo, "results", DECISION, print)
    assert not needs_saving(repo, "results", ALREADY)


def test_what_cannot_be_read_is_tried_again_for_its_warning(tmp_path: Path, remote: Remote) -> None:
    assert needs_saving(tmp_path, "results", ALREADY)
    assert "not a git repository" in save_results(tmp_path, "results", ALREADY, print).warnings[0]


@pytest.mark.parametrize(
    ("saved", "text"),
    [
        (SavedResults("results", "1a2b3c4d5e6f7890", "storage"), "results 1a2b3c4d5e6f, sent to storage"),
        (SavedResults("results", "1a2b3c4d5e6f7890", warnings=("x",)), "results 1a2b3c4d5e6f, not pushed"),
        (SavedResults("results", warnings=("it is checked out\nx", "y")), "it is checked out"),
    ],
)
def test_the_summary_states_what_is_missing(saved: SavedResults, text: str) -> None:
    assert saved.summary == text
