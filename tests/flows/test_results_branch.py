"""The commit of a promotion's results, with real git and real DVC."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.git import GitError, run_git
from flows.promotion import promotion_message
from flows.results_branch import commit_results
from flows.saved_results import SavedResults, needs_saving, save_results
from tests.support.results_repo import ALREADY, DECISION, LOCK, MESSAGE, git_repo, unset_identity

pytestmark = pytest.mark.usefixtures("own_git_settings")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return git_repo(tmp_path / "checkout")


def visible_state(root: Path) -> tuple[Any, ...]:
    """What a user has in a checkout: HEAD, the branch ``main``, the index, and every file."""
    files = {
        path: path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {".git", ".dvc", ".scratch"} & {*path.parts}
    }
    index = hashlib.sha256((root / ".git" / "index").read_bytes()).hexdigest()
    branches = run_git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/main")
    return (root / ".git" / "HEAD").read_text(), branches, index, files


def test_the_commit_has_the_results_and_leaves_the_checkout_alone(repo: Path) -> None:
    (repo / "code.py").write_text("2\n")
    (repo / "params.yaml").write_text("seed: 2\n")
    (repo / "staged.py").write_text("3\n")
    run_git(repo, "add", "staged.py")
    (repo / "new.json").write_text("{}\n")
    (repo / "model.txt").write_text("weights\n")
    before = visible_state(repo)
    commit, notes = commit_results(repo, "team/results", MESSAGE)
    assert visible_state(repo) == before
    start = run_git(repo, "rev-parse", "main")
    assert run_git(repo, "rev-parse", "team/results", "team/results^").splitlines() == [commit, start]
    changed = run_git(repo, "diff", "--name-status", "main", commit).splitlines()
    assert changed == ["A\tdvc.lock", "M\tmetrics.json", "M\tparams.yaml"]
    assert run_git(repo, "show", f"{commit}:metrics.json") == '{"lse_d": 7.5}'
    assert notes == [
        "the commit lacks the uncommitted changes of code.py",
        "the commit lacks new.json, which git neither tracks nor ignores; run `git add` if DVC does not cache it",
        "the commit lacks staged.py, which HEAD does not have either; commit what the results depend on, and list the "
        "rest in .gitignore",
    ]
    message = run_git(repo, "show", "-s", "--format=%an%n%B", commit)
    assert message.startswith("Anna\nPromote version 2 of lipsmith-generator\n\nthere was no champion\n")
    assert "LSE-D: 7.5000 (champion before: 8.0000)" in message and f"Lipsmith-Promotion: {'a' * 64}" in message


def test_the_message_leaves_out_lse_of_an_evaluator_that_cannot_judge_the_clips() -> None:
    unfit = DECISION | {"challenger": DECISION["challenger"] | {"unfit": "why"}, "champion": None}
    assert "LSE-D: -\nLSE-C: -\nFID: 20.0000\n" in promotion_message(unfit)


def test_the_message_of_a_later_commit_has_no_former_champion() -> None:
    message = promotion_message(ALREADY | {"champion": DECISION["challenger"]})
    assert message.startswith(
        "Results of the champion, version 2 of lipsmith-generator\n\nthe champion is this model\n"
    )
    assert "LSE-D: 7.5000\nLSE-C: 5.0000\nFID: 20.0000\n" in message
    assert message.endswith(f"Lipsmith-Promotion: {'a' * 64}\n")


def test_the_next_promotion_continues_the_branch_and_joins_new_commits(repo: Path) -> None:
    first, _ = commit_results(repo, "results", MESSAGE)
    assert commit_results(repo, "results", MESSAGE) == (first, [])  # nothing is new
    (repo / "metrics.json").write_text('{"lse_d": 7.0}\n')
    second, _ = commit_results(repo, "results", MESSAGE)
    assert run_git(repo, "rev-parse", f"{second}^@") == first

    run_git(repo, "add", "code.py", "metrics.json")
    run_git(repo, "commit", "-q", "-m", "work")
    head = run_git(repo, "rev-parse", "HEAD")
    run_git(repo, "checkout", "-q", "--detach")
    (repo / "metrics.json").write_text('{"lse_d": 6.0}\n')
    third, _ = commit_results(repo, "results", MESSAGE)
    assert run_git(repo, "rev-parse", f"{third}^@").splitlines() == [second, head]
    assert run_git(repo, "diff", "--name-only", head, third).splitlines() == ["dvc.lock", "metrics.json"]

    run_git(repo, "checkout", "-q", "--force", "main")
    (repo / "dvc.lock").unlink()
    run_git(repo, "merge", "-q", "results")  # the branch is now behind HEAD or equal to it
    assert commit_results(repo, "results", MESSAGE) == (third, [])


def diverge(root: Path) -> None:
    """Commit by hand on the branch ``results``, which has a promotion."""
    commit_results(root, "results", MESSAGE)
    run_git(root, "checkout", "-q", "--force", "results")
    (root / "code.py").write_text("4\n")
    run_git(root, "commit", "-q", "-a", "-m", "by hand")
    run_git(root, "checkout", "-q", "main")
    (root / "dvc.lock").write_text(yaml.safe_dump(LOCK))


def commit_on(root: Path, branch: str, name: str) -> None:
    """Commit a new file on a branch, which is made if it does not exist."""
    is_new = branch not in run_git(root, "branch", "--format=%(refname:short)").splitlines()
    run_git(root, "checkout", "-q", *(["-b"] if is_new else []), branch)
    (root / name).write_text("5\n")
    run_git(root, "add", name)
    run_git(root, "commit", "-q", "-m", f"add {name}")


def test_commits_that_came_with_an_earlier_promotion_are_not_undone(repo: Path) -> None:
    """HEAD was the branch ``feature`` at the second promotion, and is ``main`` again at the third."""
    commit_results(repo, "results", MESSAGE)
    commit_on(repo, "feature", "feature.py")
    commit_on(repo, "feature", "more.py")
    second, _ = commit_results(repo, "results", MESSAGE)
    assert run_git(repo, "rev-parse", f"{second}^2") == run_git(repo, "rev-parse", "feature")
    run_git(repo, "checkout", "-q", "main")
    with pytest.raises(
        GitError, match=r"it has 2 commits that neither .* the latest '[0-9a-f]+ add more\.py'; merge it"
    ):
        commit_results(repo, "results", MESSAGE)
    assert run_git(repo, "rev-parse", "results") == second
    run_git(repo, "merge", "-q", "feature")
    third, _ = commit_results(repo, "results", MESSAGE)
    assert {"feature.py", "more.py"} <= {*run_git(repo, "ls-tree", "--name-only", third).splitlines()}


@pytest.mark.parametrize("kind", ["fixed", "extended", "perl"])
def test_promotions_are_found_whatever_the_settings_of_git_are(repo: Path, kind: str) -> None:
    for key, value in {"grep.patternType": kind, "log.showSignature": "true", "color.ui": "always"}.items():
        run_git(repo, "config", key, value)
    commit_results(repo, "results", MESSAGE)
    (repo / "metrics.json").write_text('{"lse_d": 7.0}\n')
    second, _ = commit_results(repo, "results", MESSAGE)
    assert run_git(repo, "rev-list", "--count", second) == "3"
    assert not needs_saving(repo, "results", ALREADY)


def test_new_source_files_that_the_commit_lacks_are_named(repo: Path) -> None:
    run_git(repo, "checkout", "-q", "main")
    for name in ("a.txt", "models/baselines/toy.py", ".scratch/notes.py"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("1\n")
    _, notes = commit_results(repo, "results", MESSAGE)
    assert notes == [
        "the commit lacks 2 files such as models/baselines/toy.py, which HEAD does not have either; commit what the "
        "results depend on, and list the rest in .gitignore"
    ]


def lose_history(root: Path) -> None:
    shutil.rmtree(root / ".git")


def begin_again(root: Path) -> None:
    lose_history(root)
    run_git(root, "init", "-q")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no repository": (lose_history, "not a git repository"),
    "no commit": (begin_again, "`git rev-parse` fails in"),
    "no identity": (unset_identity, "git has no user.name or no user.email for the commit; set them with `git config"),
    "diverged": (diverge, "the branch results has diverged: it has 1 commit that neither HEAD has nor a promotion"),
    "checked out": (lambda root: run_git(root, "checkout", "-q", "-b", "results"), "the branch results is checked out"),
    "no dvc.lock": (lambda root: (root / "dvc.lock").unlink(), "dvc.lock does not exist; `dvc repro` creates it"),
    "in the way": (lambda root: run_git(root, "branch", "results/old"), "`git update-ref` fails in"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_git_cannot_do_is_a_warning_and_changes_nothing(repo: Path, name: str) -> None:
    break_it, cause = FAULTS[name]
    break_it(repo)
    before = visible_state(repo) if (repo / ".git" / "index").exists() else None
    saved = save_results(repo, "results", DECISION, print)
    assert (saved.branch, saved.commit, saved.remote) == ("results", "", "")
    (warning,) = saved.warnings
    assert warning.startswith("the results are not committed on the branch results, and not sent to a DVC remote: ")
    assert cause in warning and "\n" not in warning
    if before:
        assert visible_state(repo) == before
    with pytest.raises(GitError):
        commit_results(repo, "results", MESSAGE)


def test_git_that_is_not_installed_is_a_warning(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repo))
    assert "git is not installed" in save_results(repo, "results", DECISION, print).warnings[0]


@pytest.mark.slow
def test_a_clone_of_the_branch_has_all_results(
    tmp_path: Path, empty_repo: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promoted results come from settings that are not committed."""
    from dvc.repo import Repo

    root, in_the_way, clone = tmp_path / "checkout", tmp_path / "in the way", tmp_path / "clone"
    shutil.copytree(empty_repo, root)
    (root / "dvc.yaml").write_text(
        "stages: {score: {cmd: 'cp seed.txt model.txt && cp seed.txt metrics.json', deps: [seed.txt], params: [seed], "
        "outs: [model.txt], metrics: [metrics.json: {cache: false}]}}\n"
    )
    (root / ".dvc" / "config").write_text(
        "[core]\nanalytics = false\ncheck_update = false\nremote = storage\n"
        f"['remote \"storage\"']\nurl = {in_the_way / 'storage'}\n"
    )
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")  # as `dvc init` does with git
    (root / "seed.txt").write_text("1\n")
    git_repo(root)
    (root / "dvc.lock").unlink()
    text = (repo_root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("seed: 1234", "seed: 1235"))
    monkeypatch.chdir(root)
    with Repo() as dvc:
        dvc.reproduce()

    in_the_way.touch()  # a file where the remote's folder should be
    before = visible_state(root)
    failed = save_results(root, "results", DECISION, print)
    assert (failed.commit != "", failed.remote) == (True, "")
    assert failed.warnings[-1].startswith(f"the files of commit {failed.commit[:12]} are not all in a DVC remote: ")
    in_the_way.unlink()
    assert save_results(root, "results", DECISION, print) == SavedResults("results", failed.commit, "storage")
    assert visible_state(root) == before

    subprocess.run(["git", "clone", "-q", "-b", "results", str(root), str(clone)], check=True)
    monkeypatch.chdir(clone)
    with Repo() as dvc:
        dvc.pull()
        assert dvc.status() == {}
    assert (clone / "model.txt").read_text() == (clone / "metrics.json").read_text() == "1\n"
