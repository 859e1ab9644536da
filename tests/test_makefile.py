"""Targets of the Makefile that no other test covers."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_mlflow_ui_is_started_by_python_and_not_by_a_script() -> None:
    """Scripts in .venv/bin contain the interpreter's path at installation, which is wrong in a moved checkout."""
    shown = subprocess.run(["make", "-n", "ui"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in shown.splitlines() if "pipeline.tracking" in line)
    assert re.findall(r"\.venv/bin/(\S+)", line) == ["python"]


def test_processes_keep_compiled_modules() -> None:
    """Python then need not compile MLflow, torch and others again in every process of the tests and of the pipeline."""
    makefile = "include Makefile\nshow:\n\t@env\n"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    shown = subprocess.run(
        ["make", "-s", "-f", "-", "show"], input=makefile, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "DO_NOT_TRACK=1" in shown.stdout.splitlines(), shown.stderr
    assert "PYTHONDONTWRITEBYTECODE" not in shown.stdout
