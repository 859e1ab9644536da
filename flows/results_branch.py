"""The commit of a promotion's results on a branch of its own.

The commit is made from an index of its own: no file, no staged change and no checked-out branch is changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from flows.git import GitError, run_git
from flows.promotion import TRAILER

DVC_FILES = ("dvc.lock", "dvc.yaml", "params.yaml")
"""Files of the working tree that the commit takes over: the other two define the stages that ``dvc.lock`` describes."""
_PROMOTIONS = ("--basic-regexp", f"--grep=^{TRAILER}: ")
"""Options of `git rev-list` that select the commits of promotions, whatever the user's git settings are."""


def commit_results(root: Path, branch: str, message: str) -> tuple[str, list[str]]:
    """Commit `DVC_FILES` and the outputs that git tracks on a branch, and return the commit and what it lacks.

    All other files are those of HEAD. The branch is made if it does not exist. Without a difference no commit is made.
    Raises GitError if git fails, if the branch is checked out, or if it contains commits that are neither in HEAD nor
    made by a promotion.
    """
    head, ref = run_git(root, "rev-parse", "--verify", "HEAD^{commit}"), f"refs/heads/{branch}"
    _require_not_checked_out(root, branch)
    tip = _commit_of(root, ref)
    if tip:
        _require_own_commits(root, branch, tip, head)
    tree, notes = _write_tree(root, head)
    parents = _parents(root, tip, head)
    newest = parents[0]
    if tree == run_git(root, "rev-parse", f"{newest}^{{tree}}"):
        commit = newest
    else:
        _require_identity(root)
        named = [part for parent in parents for part in ("-p", parent)]
        commit = run_git(root, "commit-tree", tree, *named, given=message)
    if commit != tip:
        run_git(root, "update-ref", "-m", "results of a promotion", ref, commit, tip)  # fails if the branch has moved
    return commit, notes


def _require_not_checked_out(root: Path, branch: str) -> None:
    if f"branch refs/heads/{branch}" in run_git(root, "worktree", "list", "--porcelain").splitlines():
        raise GitError(
            f"the branch {branch} is checked out; check out another one, or give promote.branch in params.yaml another "
            "name"
        )


def _commit_of(root: Path, ref: str) -> str:
    """The commit of a branch; empty if the branch does not exist."""
    listed = run_git(root, "for-each-ref", "--format=%(refname) %(objectname)", ref)  # lists refs below it too
    return dict(line.split(" ") for line in listed.splitlines()).get(ref, "")


def _require_own_commits(root: Path, branch: str, tip: str, head: str) -> None:
    """Raise GitError if the new commit, which has the files of HEAD, would undo other changes on the branch.

    These may also have come with an earlier promotion, whose HEAD was another branch.
    """
    options = [*_PROMOTIONS, "--invert-grep", "--oneline"]
    if others := run_git(root, "rev-list", *options, tip, f"^{head}").splitlines():
        count = "1 commit" if len(others) == 1 else f"{len(others)} commits"
        raise GitError(
            f"the branch {branch} has diverged: it has {count} that neither HEAD has nor a promotion made, the latest "
            f"{others[0]!r}; merge it, rename it, or give promote.branch in params.yaml another name"
        )


def _parents(root: Path, tip: str, head: str) -> list[str]:
    """The parents of the new commit: HEAD, the newest commit of the branch, or both if neither contains the other."""
    if not tip or _contains(root, head, tip):
        return [head]
    return [tip] if _contains(root, tip, head) else [tip, head]


def _contains(root: Path, commit: str, other: str) -> bool:
    """Whether ``other`` is ``commit`` or one of its ancestors."""
    return run_git(root, "rev-list", "--max-count=1", other, f"^{commit}") == ""


def _require_identity(root: Path) -> None:
    """Raise GitError if git has no name and address for a commit. It would otherwise guess them on some machines."""
    try:
        for whose in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
            run_git(root, "-c", "user.useConfigOnly=true", "var", whose)
    except GitError:
        raise GitError(
            "git has no user.name or no user.email for the commit; set them with `git config user.name NAME` and "
            "`git config user.email ADDRESS`"
        ) from None


def _write_tree(root: Path, head: str) -> tuple[str, list[str]]:
    """The tree of HEAD with the results in the working tree, and notes on what it lacks."""
    outputs = _outputs(root)
    tracked = _paths(run_git(root, "ls-files", "-z"))
    present = [name for name in DVC_FILES if (root / name).is_file()]
    if "dvc.lock" not in present:
        raise GitError(f"{root / 'dvc.lock'} does not exist; `dvc repro` creates it")
    with tempfile.TemporaryDirectory(prefix="lipsmith-") as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        run_git(root, "read-tree", head, environment=own)
        names = [*present, *_below(outputs, tracked)]
        run_git(
            root, "update-index", "--add", "--remove", "-z", "--stdin", given="\0".join([*names, ""]), environment=own
        )
        tree = run_git(root, "write-tree", environment=own)
        changed = _paths(run_git(root, "ls-files", "--modified", "-z", environment=own))
        unknown = _paths(run_git(root, "ls-files", "--others", "--exclude-standard", "-z", environment=own))
    return tree, _notes(changed, unknown, outputs)


def _notes(changed: Sequence[str], unknown: Sequence[str], outputs: Iterable[str]) -> list[str]:
    """What the commit lacks.

    ``changed``: files with uncommitted changes. ``unknown``: files that HEAD does not have and git does not ignore.
    """
    notes = []
    if changed:
        notes.append(f"the commit lacks the uncommitted changes of {_some(changed)}")
    missing = _below(outputs, unknown)
    if missing:
        unknown_to_git = f"{_some(missing)}, which git neither tracks nor ignores"
        notes.append(f"the commit lacks {unknown_to_git}; run `git add` if DVC does not cache it")
    if others := sorted({*unknown} - {*missing}, key=lambda name: (not name.endswith(".py"), name)):
        notes.append(
            f"the commit lacks {_some(others)}, which HEAD does not have either; commit what the results depend on, "
            "and list the rest in .gitignore"
        )
    return notes


def _outputs(root: Path) -> list[str]:
    """The outputs of the stages in ``dvc.lock``, relative to the checkout."""
    lock = yaml.safe_load((root / "dvc.lock").read_bytes()) or {} if (root / "dvc.lock").is_file() else {}
    return [out["path"] for stage in lock.get("stages", {}).values() for out in stage.get("outs", [])]


def _paths(listed: str) -> list[str]:
    return [name for name in listed.split("\0") if name]


def _below(outputs: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names that are outputs or lie in one."""
    wanted = set(outputs)
    return [name for name in names if any(str(path) in wanted for path in (Path(name), *Path(name).parents))]


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} files such as {names[0]}"


def newest_promotion(root: Path, branch: str) -> str:
    """Digest of the model of the newest promotion on a branch; empty if the branch has none. Raises GitError."""
    tip = _commit_of(root, f"refs/heads/{branch}")
    if not tip:
        return ""
    message = run_git(root, "rev-list", *_PROMOTIONS, "--topo-order", "--max-count=1", "--format=%B", tip)
    lines = [line for line in message.splitlines() if line.startswith(f"{TRAILER}: ")]
    return lines[-1].split()[1] if lines else ""
