"""Benchmarks are run by hand. The tests check that their imports work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.preloaded import PreloadedPython

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("gpu_clips.py", "gpu_networks.py", "gpu_settings.py", "gpu_state.py", "timing.py", "wav2lip_loop.py")


def test_every_benchmark_prints_its_help(preloaded: PreloadedPython) -> None:
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.name not in LIBRARIES)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = preloaded.run("tests.support.help_pages", *names, cwd=ROOT / "benchmarks", env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(names)
