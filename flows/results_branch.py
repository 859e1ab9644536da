"""The commit of a promotion's results on a branch of its own, and the `dvc push` of their files.

The commit is made from an index of its own: no file, no staged change and no checked-out branch is changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.dvc import DvcError
from flows.dvc_commands import default_remote, run_dvc
from flows.git import GitError, run_git
from pipeline.core.errors import LipsmithError, UserError
from pipeline.core.layout import Layout
from pipeline.params import load_params
from pipeline.params.sharing import require_sharing_allowed
from pipeline.report.tables import figure

DVC_FILES = ("dvc.lock", "dvc.yaml", "params.yaml")
"""Files that always are in the commit: without the other two, ``dvc.lock`` would describe another state."""
TRAILER = "Lipsmith-Promotion"
"""Last line of a commit's message. It marks the commits that may be built on."""


@dataclass(frozen=True)
class SavedResults:
    """What became of the results of a promotion. ``warnings``: what is missing, why, and the remedy.

    ``commit``: the commit of the branch that holds the results; empty if there is none. ``remote``: the DVC remote that
    has their files; empty if they were not sent.
    """

    branch: str
    commit: str = ""
    remote: str = ""
    warnings: tuple[str, ...] = ()


def save_results(
    root: Path, branch: str, decision: Mapping[str, Any], on_line: Callable[[str], object]
) -> SavedResults:
    """Commit the results of a promotion on a branch and send their files to the default DVC remote, if there is one.

    Whatever git or DVC cannot do becomes a warning. ``decision``: of the gate. ``on_line`` gets DVC's output.
    """
    try:
        commit, notes = commit_results(root, branch, promotion_message(decision))
    except (GitError, OSError, yaml.YAMLError) as error:
        why = f"the results are not committed on the branch {branch}, and not sent to a DVC remote: {error}"
        return SavedResults(branch, warnings=(why,))
    try:
        remote = push_outputs(root, on_line)
    except (UserError, DvcError, OSError) as error:
        why = f"the files of commit {commit[:12]} are not all in a DVC remote: {_first_line(error)}"
        return SavedResults(branch, commit, warnings=(*notes, why))
    return SavedResults(branch, commit, remote, tuple(notes))


def promotion_message(decision: Mapping[str, Any]) -> str:
    """The commit's message: the version, why it was promoted, and its metrics beside the former champion's."""
    challenger, champion = decision["challenger"], decision["champion"]
    lines = [f"Promote version {challenger['version']} of {decision['registered_model']}", "", decision["reason"], ""]
    before = shown_scores(champion) if champion else {}
    for label, value in shown_scores(challenger).items():
        earlier = f" (champion before: {figure(before[label], '.4f')})" if before else ""
        lines.append(f"{label}: {figure(value, '.4f')}{earlier}")
    return "\n".join([*lines, "", f"{TRAILER}: {challenger['model_sha256']}", ""])


def shown_scores(model: Mapping[str, Any]) -> dict[str, float | None]:
    """LSE-D, LSE-C and FID of a model in the gate's decision. LSE is None if the evaluator cannot judge the clips."""
    lse = {"LSE-D": model["lse_d"], "LSE-C": model["lse_c"]}
    return {**(dict.fromkeys(lse) if model.get("unfit") else lse), "FID": model["fid"]}


def commit_results(root: Path, branch: str, message: str) -> tuple[str, list[str]]:
    """Commit `DVC_FILES` and the outputs that git tracks on a branch, and return the commit and what it lacks.

    All other files are those of HEAD. The branch is made if it does not exist. Its commits and HEAD, if the branch does
    not contain it, are the commit's parents. Without a difference no commit is made. Raises GitError if git fails, if
    the branch is checked out, or if it has commits of others that HEAD does not have.
    """
    head, ref = run_git(root, "rev-parse", "--verify", "HEAD^{commit}"), f"refs/heads/{branch}"
    _require_not_checked_out(root, branch)
    tip = _commit_of(root, ref)
    if tip:
        _require_own_commits(root, branch, tip, head)
    tree, notes = _write_tree(root, head)
    is_ahead, is_behind = (bool(tip) and _contains(root, *pair) for pair in ((tip, head), (head, tip)))
    parents = [head] if not tip or is_behind else [tip] if is_ahead else [tip, head]
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
    """Raise GitError if the new commit would undo changes that others made on the branch."""
    options = ["--first-parent", "--invert-grep", f"--grep=^{TRAILER}: ", "--format=%h %s"]
    if others := run_git(root, "log", *options, tip, f"^{head}").splitlines():
        raise GitError(
            f"the branch {branch} has diverged: it has {len(others)} commits that neither HEAD has nor a promotion "
            f"made, the latest {others[0]!r}; merge it, rename it, or give promote.branch in params.yaml another name"
        )


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
    notes = []
    if changed:
        notes.append(f"the commit lacks the uncommitted changes of {_some(changed)}")
    if missing := _below(outputs, unknown):
        unknown_to_git = f"{_some(missing)}, which git neither tracks nor ignores"
        notes.append(f"the commit lacks {unknown_to_git}; run `git add` if DVC does not cache it")
    return tree, notes


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


def push_outputs(root: Path, on_line: Callable[[str], object]) -> str:
    """Send the outputs that ``dvc.lock`` lists to the default remote and return its name.

    Raises UserError without a default remote and if the section ``share`` excludes an output, DvcError if DVC fails.
    """
    require_sharing_allowed(root / "dvc.yaml", load_params(Layout(root).params_path))
    if not (remote := default_remote(root)):
        raise UserError("DVC has no default remote; add one with `dvc remote add --default NAME URL`")
    run_dvc(root, ["push"], on_line)
    return remote


def _first_line(error: LipsmithError | OSError) -> str:
    return str(error).strip().split("\n", 1)[0]
