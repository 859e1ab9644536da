"""Targets of the Makefile that no other test covers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_mlflow_ui_is_started_by_python_and_not_by_a_script() -> None:
    """Scripts in .venv/bin contain the interpreter's path at installation, which is wrong in a moved checkout."""
    shown = subprocess.run(["make", "-n", "ui"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in shown.splitlines() if "pipeline.tracking" in line)
    assert re.findall(r"\.venv/bin/(\S+)", line) == ["python"]
