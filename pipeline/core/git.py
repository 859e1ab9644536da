"""Facts about a checkout from git."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path


@cache
def git_output(root: Path, *arguments: str) -> str:
    """Output of a git command; empty if it fails. The commit of a process is that of its start."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
