"""Targets of the Makefile that no other test covers."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

from pipeline.core.layout import Layout
from pipeline.corpora import drift
from pipeline.params import DriftParams
from pipeline.tracking.journal import set_aside_dir, spool_dir

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


def outputs_of_stages() -> set[str]:
    """The paths of ``dvc.yaml``'s outputs, without those of single variants."""
    found: set[str] = set()
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values():
        body = stage.get("do", stage)
        for out in (out for kind in ("outs", "metrics", "plots") for out in body.get(kind, [])):
            found |= {out} if isinstance(out, str) else set(out)
    return {path for path in found if "$" not in path}


def run_target(target: str, folder: Path) -> None:
    subprocess.run(["make", "-f", str(ROOT / "Makefile"), target], cwd=folder, check=True, capture_output=True)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_clean_removes_the_outputs_of_stages_and_no_source_clip(tmp_path: Path) -> None:
    """The source clips of a user (``dataset.folder.root``) may lie in ``data``, which git ignores."""
    kept = {"data/videos/anna/1.mp4", "data/2.mp4", "data/clips.csv", "data/raw/grid/s1.tar", "mlflow.db", "mlruns/0/a"}
    outputs = {path if Path(path).suffix else f"{path}/file" for path in outputs_of_stages()}
    write(tmp_path, *kept, *outputs, "data/raw/demo/1.mp4", ".scratch/logs/compare.log")
    run_target("clean", tmp_path)
    assert files_in(tmp_path) == kept


def test_forget_removes_all_that_belongs_to_removed_runs_and_champions(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    kept = {"artifacts/train_gan/a/model/weights.safetensors", ".scratch/logs/compare.log", "data/manifest.parquet"}
    write(tmp_path, *kept, "mlruns/0/a", "mlflow.db", "mlflow.db-wal")
    about_champion = layout.decision_path, layout.champion_manifest_path, layout.drift_path
    write(
        tmp_path,
        *map(str, about_champion),
        *(f"{folder(layout)}/1-2/run.json" for folder in (spool_dir, set_aside_dir)),
    )
    run_target("forget", tmp_path)
    assert files_in(tmp_path) == kept
    found = drift.measure(layout, DriftParams(max_psi=0.2, max_ks=0.2, then="retrain"))
    assert not found["stops"] and "`make forget`" in found["text"]
