"""All modules for ``python -m``: help is quick and starts nothing; usage errors print one line and return 2."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.dvc import _STAGE_ERROR
from pipeline import stage

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"torch", "mlflow", "ray", "cv2", "av", "scipy", "matplotlib", "pandas", "librosa"}


def _entry_points() -> list[str]:
    """Modules that end with a check for ``__main__``. A package's name stands for its ``__main__`` module."""
    found = []
    for package in ("pipeline", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            last = ast.parse(path.read_text()).body[-1:]
            if last and isinstance(last[0], ast.If) and "__main__" in ast.unparse(last[0].test):
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return found


ENTRY_POINTS = _entry_points()
STAGES = [name for name in ENTRY_POINTS if name.startswith("pipeline.stages.")]
FLOWS = [name for name in ENTRY_POINTS if name.startswith("flows.")]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the names of all imported modules on stderr."""
    command = [sys.executable, "-X", "importtime", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, timeout=120)


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Top-level names of the imported modules. Fails if the process writes anything else to stderr."""
    lines = done.stderr.splitlines()
    assert all(line.startswith("import time:") for line in lines), done.stderr
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


def test_the_entry_points_are_these() -> None:
    assert set(ENTRY_POINTS) == {
        "pipeline",
        "pipeline.promote",
        "pipeline.corpora.drift",
        "pipeline.tracking",
        "pipeline.tracking.sweep",
        *(f"pipeline.stages.{path.stem}" for path in (ROOT / "pipeline" / "stages").glob("[!_]*.py")),
        "flows.commit_results",
        "flows.reproduce",
        "flows.retrain",
        "flows.serve",
        "flows.sweep",
    }
    assert len(STAGES) == 9


def imported_for_help(names: list[str], cwd: Path) -> set[str]:
    """Print the help of all modules in one process, since each start takes a second. Returns what it imported.

    The working directory is not a checkout, so code that searches for one would fail.
    """
    done = run("-m", "tests.support.help_pages", *names, cwd=cwd)
    assert done.returncode == 0, done.stderr
    for name in names:
        assert f"Usage: python -m {name} [OPTIONS]" in done.stdout
    assert list(cwd.iterdir()) == []
    return imported(done)


def test_help_imports_no_heavy_package_and_starts_nothing(tmp_path: Path) -> None:
    found = imported_for_help([name for name in ENTRY_POINTS if name not in FLOWS], tmp_path)
    assert "typer" in found
    assert not found & {*HEAVY, "prefect"}


@pytest.mark.slow
def test_help_of_flows_needs_prefect_only_and_starts_nothing(tmp_path: Path) -> None:
    found = imported_for_help(FLOWS, tmp_path)
    assert "prefect" in found
    assert not found & HEAVY


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_unknown_option_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    is_package = (ROOT / name.replace(".", "/")).is_dir()
    module = importlib.import_module(f"{name}.__main__" if is_package else name)
    assert module.main(["--bogus"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert "--bogus" in printed.err and f"`python -m {name} --help`" in printed.err


@pytest.mark.parametrize("name", [name for name in STAGES if name != "pipeline.stages.code"])
def test_a_stage_runs_only_with_valid_arguments(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[tuple[str, str | None]] = []

    def fake_run(name: str, body: stage.Body, variant: str | None = None, *, dvc_stage: str | None = None) -> int:
        runs.append((name, variant))
        return 75

    monkeypatch.setattr(stage, "run", fake_run)
    main, short = importlib.import_module(name).main, name.rpartition(".")[2]
    has_variants = short in ("train_gan", "evaluate")
    assert main(["--help"]) == 0
    assert ("params.yaml has them all" in capsys.readouterr().out) != has_variants
    assert main(["extra"]) == 2
    assert main([] if has_variants else ["--variant", "lstm_cbam"]) == 2
    assert runs == []
    assert main(["--variant", "lstm_cbam"] if has_variants else []) == 75
    assert runs == [(short, "lstm_cbam" if has_variants else None)]


def test_an_unknown_variant_is_logged_in_the_format_that_the_flows_parse(tmp_path: Path) -> None:
    for file in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    done = run("-m", "pipeline.stages.train_gan", "--variant", "nope", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("import time:"))
    found = _STAGE_ERROR.match(line)
    assert found and found["why"].startswith("no variant 'nope' in params.yaml; its variants are lstm_cbam")


def test_the_stage_code_outside_a_checkout_is_one_line_in_that_format(tmp_path: Path) -> None:
    done = run("-m", "pipeline.stages.code", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("import time:"))
    found = _STAGE_ERROR.match(line)
    assert found and found["why"].startswith("no params.yaml and dvc.yaml at or above ")


def test_an_unknown_option_ends_a_process_with_one_line(tmp_path: Path) -> None:
    done = run("-m", "pipeline.stages.preprocess", "--bogus", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("import time:"))
    assert line.startswith("error: ") and "--bogus" in line


@pytest.mark.parametrize("name", ["pipeline.stages.compare", "pipeline.tracking"])
def test_outside_a_checkout_the_error_is_one_line(name: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", name]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "run this inside a lipsmith checkout" in done.stderr
