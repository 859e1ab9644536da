"""Benchmarks are run by hand. The tests check that their imports work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("timing.py", "wav2lip_loop.py")


@pytest.mark.parametrize(
    "name", sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if path.name not in LIBRARIES)
)
def test_a_benchmark_prints_its_help(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
