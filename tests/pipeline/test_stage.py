"""The frame around a stage: exit codes, metrics file, scratch, fingerprint."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import stage
from pipeline.core import scratch
from pipeline.core.errors import DataError, TemporaryError, UserError
from pipeline.core.layout import Layout
from pipeline.tracking.tracker import Tracker
from pipeline.training.loop import NonFiniteLossError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A folder with the real params and one stage that depends on one file."""
    shutil.copy(repo_root / "params.yaml", tmp_path)
    (tmp_path / "input.txt").write_text("one")
    stages = {
        "compare": {"cmd": "x", "deps": ["input.txt"], "params": ["seed", "compare"]},
        "train_gan": {
            "foreach": "x",
            "do": {"cmd": "x", "deps": ["input.txt"], "params": ["variants.${key}"]},
        },
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens: tracking must not matter
    monkeypatch.setattr(stage, "_set_up_process", lambda: None)
    return Layout(tmp_path)


def test_metrics_are_written_sorted_and_scratch_is_removed(checkout: Layout) -> None:
    seen: list[Path] = []

    def body(context: stage.StageContext) -> Mapping[str, Any]:
        seen.append(context.scratch)
        assert context.scratch.is_dir()
        return {"b": 2.0, "a": 1}

    assert stage.run("compare", body) == 0
    text = checkout.metrics_path("compare").read_text()
    assert json.loads(text) == {"a": 1, "b": 2.0}
    assert text.index('"a"') < text.index('"b"')
    assert not seen[0].exists()


def test_the_run_of_a_training_gets_the_digest_of_its_model(checkout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Path] = []
    monkeypatch.setattr(Tracker, "log_model_digest", lambda tracker, weights: logged.append(weights))
    assert stage.run("compare", lambda context: {}) == 0
    assert logged == []
    assert stage.run("train_gan", lambda context: {}, "no_lstm") == 0
    assert logged == [checkout.weights_path("train_gan", "no_lstm")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("bad value"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "/data/lrs2"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (DataError("empty split"), 3),
        (NonFiniteLossError("step 3"), 3),
        (TemporaryError("busy"), 75),
    ],
)
def test_the_exit_code_says_whose_fault_it_was(
    checkout: Layout, error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    def body(context: stage.StageContext) -> Mapping[str, Any]:
        raise error

    with caplog.at_level(logging.ERROR):
        assert stage.run("compare", body) == code
    assert str(error) in caplog.text
    assert not checkout.metrics_path("compare").exists()


@pytest.mark.parametrize("bug", [ValueError("shape"), TypeError("kind"), KeyError("name"), OSError("no number")])
def test_a_bug_passes_through_with_its_traceback(
    checkout: Layout, bug: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def body(context: stage.StageContext) -> Mapping[str, Any]:
        raise bug

    with caplog.at_level(logging.ERROR), pytest.raises(type(bug)) as caught:
        stage.run("compare", body)
    assert caught.value is bug and not caplog.records
    assert not checkout.metrics_path("compare").exists()


def test_a_result_that_is_not_finite_is_a_bug(checkout: Layout) -> None:
    with pytest.raises(ValueError, match=r"fid\.value is nan"):
        stage.run("compare", lambda context: {"fid": {"value": float("nan")}})


def test_scratch_survives_a_failure_for_the_same_computation_only(checkout: Layout) -> None:
    folders: list[Path] = []

    def body(context: stage.StageContext) -> Mapping[str, Any]:
        folders.append(context.scratch)
        (context.scratch / "half-done").touch()
        raise DataError("stop here")

    stage.run("compare", body)
    stage.run("compare", body)
    assert folders[0] == folders[1]
    (checkout.root / "input.txt").write_text("two")
    stage.run("compare", body)
    assert folders[2] != folders[0]
    assert not folders[0].exists()


def test_the_fingerprint_sees_declared_params_only(checkout: Layout) -> None:
    params = yaml.safe_load((checkout.root / "params.yaml").read_text())
    before = scratch.fingerprint(checkout.root, "train_gan", "no_lstm", params)
    params["runtime"]["num_workers"] = 7
    params["variants"]["lstm_cbam"]["use_cbam"] = False
    assert scratch.fingerprint(checkout.root, "train_gan", "no_lstm", params) == before
    params["variants"]["no_lstm"]["use_cbam"] = False
    assert scratch.fingerprint(checkout.root, "train_gan", "no_lstm", params) != before


def test_an_unknown_stage_lists_the_known_ones(checkout: Layout) -> None:
    with pytest.raises(UserError, match="it has compare, train_gan"):
        scratch.declared(checkout.root, "compair")


def test_a_stage_does_not_run_beside_itself_and_names_the_process_that_runs_it(
    checkout: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A second start would use the checkpoints and write the outputs of the first. Another variant is another stage."""
    monkeypatch.setattr(stage, "ORPHAN_S", 0.2)
    hold = f"""
import sys
from pathlib import Path
from pipeline.core.layout import Layout
from pipeline.stage import _alone
with _alone(Layout(Path({str(checkout.root)!r})), "train_gan@lstm_cbam"):
    print("held", flush=True)
    sys.stdin.read()
"""
    ran: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", hold], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"

        def train(variant: str) -> int:
            return stage.run("train_gan", lambda context: ran.append(variant) or {}, variant)

        assert train("no_lstm") == 0
        assert train("lstm_cbam") == TemporaryError.exit_code
        assert ran == ["no_lstm"]
        assert f"train_gan@lstm_cbam (process {holder.pid}, since" in caplog.text
        assert "is already running this stage" in caplog.text
        holder.kill()
        holder.wait()
        assert train("lstm_cbam") == 0
