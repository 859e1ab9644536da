"""The results of a promotion: their commit on a branch, and the `dvc push` of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.dvc import DvcError
from flows.dvc_commands import default_remote, run_dvc
from flows.git import GitError
from flows.promotion import promotion_message
from flows.results_branch import commit_results, newest_promotion
from pipeline.core import atomic
from pipeline.core.errors import UserError, first_line
from pipeline.core.layout import Layout
from pipeline.params import load_params
from pipeline.params.sharing import require_sharing_allowed


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

    @property
    def summary(self) -> str:
        """Branch, commit and whether the files were sent; without a commit the first line of the warning."""
        if not self.commit:
            return first_line(next(iter(self.warnings), ""))
        return f"{self.branch} {self.commit[:12]}, {f'sent to {self.remote}' if self.remote else 'not pushed'}"


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
        _sent_path(root).unlink(missing_ok=True)
        remote = push_outputs(root, on_line)
    except (UserError, DvcError, OSError) as error:
        why = f"the files of commit {commit[:12]} are not all in a DVC remote: {first_line(error)}"
        return SavedResults(branch, commit, warnings=(*notes, why))
    with suppress(OSError):  # the next run then sends them once more
        atomic.write_bytes(_sent_path(root), decision["challenger"]["model_sha256"].encode())
    return SavedResults(branch, commit, remote, tuple(notes))


def needs_saving(root: Path, branch: str, decision: Mapping[str, Any]) -> bool:
    """Whether the results of the gate's decision are to be committed or sent.

    They are after a promotion. If the model is the champion already, they are if the newest promotion on the branch is
    another one, or if there is a default remote to which its files were not sent: an earlier run was interrupted or
    failed, or ``pipeline.promote`` was called directly.
    """
    if decision["outcome"] != "already_champion":
        return bool(decision["outcome"] == "promoted")
    model_sha256 = decision["challenger"]["model_sha256"]
    try:
        if newest_promotion(root, branch) != model_sha256:
            return True
        path = _sent_path(root)
        is_sent = path.is_file() and path.read_bytes() == model_sha256.encode()
        return not is_sent and bool(default_remote(root))
    except (GitError, DvcError, OSError):  # `save_results` returns the cause as a warning
        return True


def push_outputs(root: Path, on_line: Callable[[str], object]) -> str:
    """Send the outputs that ``dvc.lock`` lists to the default remote and return its name.

    Raises UserError without a default remote and if the section ``share`` excludes an output, DvcError if DVC fails.
    """
    require_sharing_allowed(root / "dvc.yaml", load_params(Layout(root).params_path))
    if not (remote := default_remote(root)):
        raise UserError("DVC has no default remote; add one with `dvc remote add --default NAME URL`")
    run_dvc(root, ["push"], on_line)
    return remote


def _sent_path(root: Path) -> Path:
    """The file with the digest of the model whose results were sent last."""
    return Layout(root).scratch_dir / "sent-promotion.txt"
