"""Git as a subprocess."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.errors import UserError


class GitError(UserError):
    """A git command failed, or git is not installed."""


def run_git(root: Path, *arguments: str, given: str = "", environment: Mapping[str, str] | None = None) -> str:
    """Run a git command in ``root`` and return its output without the last line break. Raises GitError if it fails.

    ``given``: its input. ``environment``: further variables. The command does not refresh the index by itself.
    """
    variables = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **(environment or {})}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env=variables,
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    if done.returncode != 0:
        command = next((argument for argument in arguments if argument[:1] != "-" and "=" not in argument), "")
        cause = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise GitError(f"`git {command}` fails in {root}: {cause}")
    return done.stdout.rstrip("\n")
