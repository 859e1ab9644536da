"""Separate checkouts for tests that run the real commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def copy_checkout(repo_root: Path, folder: Path) -> Path:
    """Copy the working tree's files, without generated ones, into a new repository and return its folder."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        source, target = repo_root / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def start(
    root: Path, *arguments: str, environment: Mapping[str, str] | None = None, stdin: int | None = None
) -> subprocess.Popen[str]:
    """Start a command in the checkout with this interpreter's scripts on PATH and stderr redirected to stdout."""
    weights = os.environ.get("LIPSMITH_WEIGHTS_DIR") or str(Path(__file__).resolve().parents[2] / "weights")
    merged = os.environ | {"LIPSMITH_WEIGHTS_DIR": weights, "PYTHONPATH": str(root)} | dict(environment or {})
    merged.pop("OMP_NUM_THREADS", None)
    merged["PATH"] = f"{Path(sys.executable).parent}:{merged['PATH']}"
    return subprocess.Popen(
        arguments, cwd=root, env=merged, text=True, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command, which must succeed, and return its output."""
    process = start(root, *arguments, environment=environment)
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output[-6000:]
    return output
