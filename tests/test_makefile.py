"""Targets of the Makefile that no other test runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_mlflows_page_is_started_by_the_interpreter_itself() -> None:
    """Scripts beside it name it by the path that it had when they were installed: a checkout that moved lacks that."""
    shown = subprocess.run(["make", "-n", "ui"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in shown.splitlines() if "mlflow server" in line)
    assert re.findall(r"\.venv/bin/(\S+)", line) == ["python"]


def test_the_page_is_preceded_by_a_look_at_where_the_checkout_is() -> None:
    shown = subprocess.run(["make", "-n", "ui"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.index("python -m pipeline.tracking") < shown.index("mlflow server")
