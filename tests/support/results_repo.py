"""A git repository whose stage has run, and a decision of the gate on its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from flows.git import run_git
from flows.promotion import promotion_message

DECISION: dict[str, Any] = {
    "outcome": "promoted",
    "reason": "there was no champion",
    "registered_model": "lipsmith-generator",
    "challenger": {"version": "2", "lse_d": 7.5, "lse_c": 5.0, "fid": 20.0, "model_sha256": "a" * 64},
    "champion": {"lse_d": 8.0, "lse_c": 4.0, "fid": 21.0},
}
ALREADY = DECISION | {"outcome": "already_champion", "reason": "the champion is this model"}
MESSAGE = promotion_message(DECISION)
LOCK = {"stages": {"score": {"outs": [{"path": "metrics.json"}, {"path": "model.txt"}, {"path": "new.json"}]}}}


def git_repo(root: Path) -> Path:
    """A checkout on the branch ``main`` whose stage has run: git tracks ``metrics.json``, DVC tracks ``model.txt``."""
    root.mkdir(exist_ok=True)
    run_git(root, "init", "-q", "-b", "main")
    run_git(root, "config", "user.name", "Anna")
    run_git(root, "config", "user.email", "anna@example.org")
    contents = {
        "code.py": "1\n",
        "metrics.json": "{}\n",
        "params.yaml": "seed: 1\n",
        ".gitignore": "/model.txt\n/.scratch/\n",
    }
    for name, content in contents.items():
        (root / name).write_text(content)
    run_git(root, "add", ".")
    run_git(root, "commit", "-q", "-m", "start")
    (root / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    (root / "metrics.json").write_text('{"lse_d": 7.5}\n')
    return root


def unset_identity(root: Path) -> None:
    for name in ("user.name", "user.email"):
        run_git(root, "config", "--unset", name)
