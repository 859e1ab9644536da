"""A bug ends a command with its traceback and exit code 1; other errors end it with one message."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.corpora.manifest import ClipRecord, write_manifest
from tests.support.preloaded import PreloadedPython

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "stage": ["pipeline.stages.sync_filter"],
    "score-model": ["pipeline", "score-model", "--model", "nowhere"],
    "score": ["pipeline", "score", "--generated", "a", "--real", "b"],
    "dub": ["pipeline", "dub", "--face", "a.mp4", "--audio", "a.mp4", "--out", "b.mp4"],
    "promote": ["pipeline.promote"],
    "flow": ["flows.reproduce", "--plan"],
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, preloaded: PreloadedPython) -> Run:
    """A function that runs a module in a checkout without data.

    With ``plant`` (path, old text, new text) it is a module of a copied source tree that is edited first. The copy has
    the compiled modules too, of which Python compiles the edited one again.
    """
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copy(ROOT / "params.yaml", checkout)
    stages = {name: {"cmd": "x", "deps": [], "params": ["seed"]} for name in ("preprocess", "sync_filter", "evaluate")}
    (checkout / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))

    def run(
        *arguments: str, plant: tuple[str, str, str] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        code = ROOT
        if plant is not None:
            code = tmp_path / "code"
            for package in ("flows", "models", "pipeline"):
                shutil.copytree(ROOT / package, code / package)
            path, old, new = plant
            text = (code / path).read_text()
            assert text.count(old) == 1
            (code / path).write_text(text.replace(old, new))
        merged = os.environ | {"PYTHONPATH": str(code), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"} | environment
        merged.pop("LIPSMITH_LOG_LEVEL", None)
        if not arguments[0].startswith("flows."):
            return preloaded.run(*arguments, cwd=checkout, env=merged)
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=checkout, env=merged, capture_output=True, text=True, timeout=300)

    return run


def edit_params(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "checkout" / "params.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bug_shows_its_traceback(command: str, run: Run) -> None:
    bug = "def load_params(path: Path) -> Params:\n"
    done = run(*COMMANDS[command], plant=("pipeline/params/file.py", bug, f"{bug}    raise ValueError('planted')\n"))
    assert done.returncode == 1, done.stderr
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1] == "ValueError: planted"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_misspelt_key_is_reported_in_one_line(command: str, run: Run, tmp_path: Path) -> None:
    edit_params(tmp_path, "  confidence:", "  confidense: 0.9\n  confidence:")
    done = run(*COMMANDS[command])
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.rstrip().endswith("params.yaml: compare.confidense: unknown key; did you mean confidence?")


@pytest.mark.slow
def test_damaged_data_are_reported_in_one_line(run: Run, tmp_path: Path) -> None:
    name = "data/shards/index.parquet"
    index = tmp_path / "checkout" / name
    index.parent.mkdir(parents=True)
    index.write_bytes(b"PAR1 and no more PAR1")
    done = run("pipeline.stages.sync_filter")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert f"sync_filter: {name} is damaged (" in done.stderr.splitlines()[-1]
    pq.write_table(pa.table({"clip_id": ["a"]}), index)
    done = run("pipeline.stages.sync_filter")
    assert done.returncode == 3 and "index.parquet has no column key, " in done.stderr


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_a_temporary_error(run: Run, tmp_path: Path) -> None:
    clip = tmp_path / "checkout" / "a.mp4"
    clip.touch()
    write_manifest(clip.with_name("data") / "manifest.parquet", [ClipRecord("a", "s", "train", "a.mp4", 0, "", "")])
    done = run("pipeline.stages.preprocess", RAY_ADDRESS="127.0.0.1:9")
    assert done.returncode == 75, done.stderr
    assert "Traceback" not in done.stderr
    assert "RAY_ADDRESS is 127.0.0.1:9, and no Ray cluster answers there" in done.stderr
    assert "(trying again may help)" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_bug_in_preprocessing_fails_the_stage_and_rejects_no_clip(run: Run, tmp_path: Path, num_workers: int) -> None:
    checkout = tmp_path / "checkout"
    edit_params(tmp_path, "  num_workers: ", f"  num_workers: {num_workers} # ")
    edit_params(tmp_path, "  clips_per_shard: ", "  clips_per_shard: 1 # ")
    names = ("a", "b", "c")
    for name in names:
        (checkout / f"{name}.mp4").touch()
    records = [ClipRecord(name, "s", "train", f"{name}.mp4", 0, "", "") for name in names]
    write_manifest(checkout / "data" / "manifest.parquet", records)
    line = "    if media.sha256 != record.sha256:\n"
    done = run("pipeline.stages.preprocess", plant=("pipeline/preprocess/clip.py", line, "    [][1]\n" + line))
    assert done.returncode == 1, done.stderr
    assert "in _outcomes_of" in done.stderr and "[][1]" in done.stderr and "IndexError" in done.stderr
    assert "while preprocessing clip " in done.stderr
    assert not (checkout / "data" / "shards").exists()
