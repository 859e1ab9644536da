"""Benchmarks are run by hand. The tests check that their imports work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.preloaded import PreloadedPython

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("gpu_clips.py", "gpu_networks.py", "gpu_settings.py", "gpu_state.py", "timing.py", "wav2lip_loop.py")


@pytest.mark.parametrize(
    "name", sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if path.name not in LIBRARIES)
)
def test_a_benchmark_prints_its_help(name: str, preloaded: PreloadedPython) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = preloaded.run(Path(name).stem, "--help", cwd=ROOT / "benchmarks", env=environment)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
