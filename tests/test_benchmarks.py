"""Benchmarks are run by hand. The tests check that their imports work."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.faces.detector import Detection
from pipeline.params import load_params
from tests.support.preloaded import PreloadedPython

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "gpu_clips.py",
    "gpu_networks.py",
    "gpu_settings.py",
    "gpu_state.py",
    "timing.py",
    "untrained.py",
    "wav2lip_loop.py",
)

NAMES = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py") if path.name not in LIBRARIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_reports_its_users_errors_without_a_traceback(name: str) -> None:
    text = (ROOT / "benchmarks" / name).read_text()
    assert "return run_and_report(_command, argv, " in text and "run_command" not in text


@pytest.mark.slow
def test_clips_without_a_face_are_left_out_of_the_cropping(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repo_root: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = importlib.import_module("preprocess")
    pictures = {name: [np.full((120, 120, 3), level, np.uint8)] * 5 for name, level in (("face", 200), ("empty", 0))}
    face = Detection(np.array([30.0, 30, 90, 90]), np.full((5, 2), 60.0), 0.9)
    detector = SimpleNamespace(detect=lambda image: [face] if image.any() else [])
    monkeypatch.setattr(benchmark, "YuNetDetector", lambda *settings: detector)
    monkeypatch.setattr(benchmark, "limit_opencv_threads", lambda num: None)
    monkeypatch.setattr(benchmark, "frames_of", lambda path: pictures[path.name])
    monkeypatch.setattr(benchmark, "samples_of", lambda path: np.zeros(3200, np.float32))
    benchmark.show_shares([Path("empty"), Path("face")], load_params(repo_root / "params.yaml").preprocess)
    printed = capsys.readouterr().out
    assert "1 of 2 clips show no face" in printed and "one thread: " in printed


@pytest.mark.slow
def test_every_benchmark_prints_its_help(preloaded: PreloadedPython) -> None:
    names = [Path(name).stem for name in NAMES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = preloaded.run("tests.support.help_pages", *names, cwd=ROOT / "benchmarks", env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == len(names)
