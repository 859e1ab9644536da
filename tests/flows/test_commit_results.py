"""The command that commits the champion's results. No server runs, and the push is replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import commit_results, saved_results
from flows.git import run_git
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from tests.support.results_repo import DECISION, git_repo

pytestmark = pytest.mark.usefixtures("own_git_settings")


@pytest.fixture
def checkout(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose gate has promoted the model, with ``promote.branch: results`` and the remote ``storage``."""
    root = git_repo(tmp_path / "checkout")
    params = yaml.safe_load((repo_root / "params.yaml").read_text())
    params["promote"]["branch"] = "results"
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "dvc.yaml").write_text("stages: {}\n")
    write_decision(root)
    monkeypatch.setattr(saved_results, "push_outputs", lambda root, on_line: "storage")
    return root


def write_decision(root: Path, **changed: Any) -> None:
    layout = Layout(root)
    decision = DECISION | {"variant": "lstm_cbam"} | changed
    scores = {"generator_sha256": DECISION["challenger"]["model_sha256"]}
    for path, content in (
        (layout.decision_path, decision),
        (layout.metrics_path("evaluate", "lstm_cbam"), scores),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def test_the_command_commits_the_results_and_prints_where_they_are(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commit_results.main(["--root", str(checkout)]) == 0
    commit = run_git(checkout, "rev-parse", "results")
    assert "dvc.lock" in run_git(checkout, "diff", "--name-only", "HEAD", commit).splitlines()
    assert f"| results | {commit[:12]} | storage |" in capsys.readouterr().out


def test_the_command_exits_with_1_and_the_cause_if_nothing_is_committed(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_git(checkout, "checkout", "-q", "-b", "results")
    assert commit_results.main(["--root", str(checkout)]) == 1
    printed = capsys.readouterr().out
    assert "| results | none | not sent |" in printed and "the branch results is checked out" in printed


def test_the_command_needs_a_branch(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = checkout / "params.yaml"
    path.write_text(path.read_text().replace("branch: results", "branch: null"))
    assert commit_results.main(["--root", str(checkout)]) == 2
    assert "promote.branch is null" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"outcome": "refused", "reason": "FID is higher"}, r"is refused \(FID is higher\), and only the results"),
        (
            {"challenger": DECISION["challenger"] | {"model_sha256": "b" * 64}},
            "is of model aaaaaaaaaaaa, but .* bbbbbbbb",
        ),
    ],
)
def test_a_decision_on_another_model_or_against_it_is_refused(
    checkout: Path, changed: dict[str, Any], message: str
) -> None:
    write_decision(checkout, **changed)
    with pytest.raises(UserError, match=message):
        commit_results.require_decision(Layout(checkout))


def test_without_a_decision_the_error_names_the_gate(checkout: Path) -> None:
    Layout(checkout).decision_path.unlink()
    with pytest.raises(UserError, match=r"decision\.json does not exist; `python -m pipeline\.promote` decides"):
        commit_results.require_decision(Layout(checkout))
