"""The whole pipeline at its smallest size, run by the real commands in a separate checkout."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipeline.core.layout import Layout
from tests.support.checkouts import copy_checkout, run, start

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

ARMS = ["lstm_cbam", "no_lstm"]
"""Variants of params.yaml: the paper's network, and one switch of its ablation.

The last test trains and evaluates speech2vid, test_killed_trainings.py runs the training stage of lipgan, and
test_evaluate_stage.py evaluates all variants.
"""
SMALLEST: dict[str, dict[str, Any]] = {
    "train_syncnet": {"width": 0.125, "num_steps": 4, "clips_per_batch": 4, "validate_every": 4, "checkpoint_every": 2},
    "train_evaluator": {
        "width": 0.0625,
        "num_steps": 4,
        "clips_per_batch": 4,
        "validate_every": 4,
        "checkpoint_every": 2,
    },
    "train_gan": {
        "width": 0.125,
        "discriminator_width": 0.0625,
        "num_steps": 8,
        "clips_per_batch": 2,
        "losses": {
            "sync": {"weight": 0.01, "start_step": 2, "ramp_steps": 0},
            "adversarial": {"weight": 0.005, "start_step": 4, "ramp_steps": 0},
            "perceptual": {"weight": 0.1, "start_step": 0, "ramp_steps": 0},
            "feature_matching": {"weight": 0.1, "start_step": 4, "ramp_steps": 0},
            "temporal": {"weight": 0.1, "start_step": 0, "ramp_steps": 0},
            "mouth": {"weight": 0.3, "start_step": 0, "ramp_steps": 0},
        },
        "min_expert_accuracy": 0.0,
        "validate_every": 8,
        "checkpoint_every": 2,
        "num_validation_windows": 4,
    },
    "preprocess": {"clips_per_shard": 3},
    "compare": {"num_resamples": 50},
}


def _write_smallest_params(path: Path) -> None:
    params = yaml.safe_load(path.read_text())
    for section, values in SMALLEST.items():
        params[section].update(values)
    params["variants"] = {arm: params["variants"][arm] for arm in ARMS}
    params["dataset"]["demo"].update(num_speakers=4, num_clips_per_speaker=2, clip_seconds=2.0, split_by="speaker")
    params["dataset"]["demo"].update(val_fraction=0.25, test_fraction=0.25)
    params["evaluate"]["lse"]["weights"] = None
    params["evaluate"]["fid"]["max_frames"] = 4
    params["evaluate"]["num_strips"] = 1
    params["evaluate"]["num_probes"] = 1
    params["runtime"]["log_every_steps"] = 1
    params["runtime"]["num_jobs"] = 2
    params["runtime"]["num_workers"] = 1  # test_lrs2_end_to_end.py has two, in Ray
    params["runtime"]["num_threads"] = 1  # `dvc repro` alone would use more threads, which changes rounding
    path.write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Layout:
    """A copy of the working tree with the smallest settings."""
    folder = copy_checkout(repo_root, tmp_path_factory.mktemp("checkout") / "lipsmith")
    _write_smallest_params(folder / "params.yaml")
    return Layout(folder)


def _run(checkout: Layout, *arguments: str) -> str:
    return run(checkout.root, *arguments)


def _stages_that_ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)':", output)


@pytest.fixture(scope="module")
def first_run(checkout: Layout, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Output of the first run, made as by `make repro` with two parallel jobs."""
    prefect = {"PREFECT_HOME": str(tmp_path_factory.mktemp("prefect"))}
    return run(checkout.root, sys.executable, "-m", "flows.reproduce", environment=prefect)


def test_every_stage_runs_and_the_comparison_has_finite_rows(checkout: Layout, first_run: str) -> None:
    assert len(_stages_that_ran(first_run)) == 6 + 2 * len(ARMS) + 2 + 1
    comparison = json.loads(checkout.comparison_path.read_text())
    assert {row["variant"] for row in comparison["rows"]} == {*ARMS, "real", "copy_input"}
    for row in comparison["rows"]:
        assert row["num_clips"] == 2
        assert row["num_failed"] == 0
        scores = json.loads(checkout.metrics_path("evaluate", row["variant"]).read_text())
        assert all(math.isfinite(scores[name]) for name in ("lse_d", "lse_c", "fid", "seconds"))
        # An evaluator of a few steps cannot judge the clips, and then the comparison has no LSE.
        is_unfit = comparison["fitness"]["is_fit"] is False
        assert row["fid"] == scores["fid"] and row["lse_d"] == (None if is_unfit else scores["lse_d"])
    page = (checkout.stage_dir("compare") / "index.html").read_text()
    assert page.count("data-mp4=") == len(ARMS) + 2  # one clip per row
    table = checkout.stage_dir("compare") / "comparison.md"
    assert "Wav2Lip" in table.read_text()
    assert "Caveats, intervals, charts and videos: artifacts/compare/index.html" in first_run.splitlines()
    for arm in ARMS:
        assert list((checkout.stage_dir("evaluate", arm) / "strips").glob("*.mp4"))
    assert not list(checkout.scratch_dir.glob("train_gan*/*/*"))


def test_every_output_file_is_declared_to_dvc(checkout: Layout, first_run: str) -> None:
    """An undeclared file of another run would remain when DVC restores the declared ones from its cache."""
    stages = yaml.safe_load((checkout.root / "dvc.lock").read_text())["stages"].values()
    declared = [checkout.root / out["path"] for stage in stages for out in stage["outs"]]
    files = [path for path in checkout.artifacts_dir.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if not any(path.is_relative_to(out) for out in declared)] == []


def test_training_and_evaluation_of_a_variant_are_one_mlflow_run(checkout: Layout, first_run: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{checkout.mlflow_db_path}")
    experiment = client.get_experiment_by_name("lipsmith-demo")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    runs = {run.info.run_name: run for run in found}
    assert set(runs) >= {*ARMS, "real", "copy_input", "train_syncnet", "train_evaluator"}
    (comparison,) = (run for run in found if run.data.tags["kind"] == "comparison")
    below = {run.info.run_name for run in found if run.data.tags.get("mlflow.parentRunId") == comparison.info.run_id}
    assert below == {*ARMS, "real", "copy_input"}  # and no stage that the variants share
    assert comparison.info.status == "FINISHED"
    assert "| [lstm_cbam](#/experiments/" in comparison.data.tags["mlflow.note.content"]
    shown = {artifact.path for artifact in client.list_artifacts(comparison.info.run_id)}
    assert shown >= {"index.html", "scores.png", "comparison.csv"}
    run = runs["lstm_cbam"]
    evaluated = json.loads(checkout.metrics_path("evaluate", "lstm_cbam").read_text())
    assert run.data.metrics["test/fid"] == pytest.approx(evaluated["fid"], rel=1e-4)
    assert run.data.tags["variant"] == "lstm_cbam"
    assert len(client.get_metric_history(run.info.run_id, "train/l1")) == SMALLEST["train_gan"]["num_steps"]
    folders = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"model", "strips", "curve.png", "samples.png", "metrics"} <= folders
    assert {used.dataset.name for used in run.inputs.dataset_inputs} == {"demo-train", "demo-val", "demo-test"}


def test_a_second_run_runs_nothing(checkout: Layout, first_run: str) -> None:
    assert _stages_that_ran(_run(checkout, "dvc", "repro")) == []


def test_comments_docstrings_log_messages_and_promote_rerun_nothing(checkout: Layout, first_run: str) -> None:
    edits = {
        "models/losses.py": ('"""Mean absolute error, scalar', '"""The mean absolute error, scalar'),
        "pipeline/features/alignment.py": ("FPS = 25.0", "FPS = 25.0  # of every clip in the shards"),
        "pipeline/training/loop.py": ("from __future__", "# how a network is trained\nfrom __future__"),
        "pipeline/shards/read.py": ("from __future__", "# how shards are read\nfrom __future__"),
        "pipeline/stage.py": ("done in %.0f s", "finished in %.0f s"),
        "params.yaml": ("max_fid_increase: 5.0", "max_fid_increase: 4.0"),
    }
    before = {name: (checkout.root / name).read_text() for name in edits}
    for name, (old, new) in edits.items():
        assert old in before[name], name
        (checkout.root / name).write_text(before[name].replace(old, new, 1))
    assert _stages_that_ran(_run(checkout, "dvc", "repro")) == ["code"]
    for name, text in before.items():
        (checkout.root / name).write_text(text)


def test_a_changed_constant_of_the_generators_loss_reruns_trainings_and_downstream_stages(
    checkout: Layout, first_run: str
) -> None:
    path = checkout.root / "models" / "losses.py"
    before = path.read_text()
    path.write_text(before.replace("MOUTH_SPREAD = (0.1, 0.15)", "MOUTH_SPREAD = (0.1, 0.2)"))
    plan = _run(checkout, sys.executable, "-m", "flows.reproduce", "--plan")
    stale = {f"train_gan@{arm}" for arm in ARMS}
    assert set(re.findall(r"^(\S+) +run ", plan, re.MULTILINE)) == {"code", *stale}
    assert "code changed: models/losses.py:MOUTH_SPREAD" in plan
    following = {*(f"evaluate@{arm}" for arm in ARMS), "compare"}
    assert set(re.findall(r"^(\S+) +follow ", plan, re.MULTILINE)) == following
    _run(checkout, "dvc", "repro", "--single-item", "code")
    assert set(json.loads(_run(checkout, "dvc", "status", "--json"))) == stale
    path.write_text(before)
    assert _stages_that_ran(_run(checkout, "dvc", "repro")) == ["code"]  # its output persists, so DVC caches no run


def test_dvc_shows_metrics_and_plots(checkout: Layout, first_run: str) -> None:
    shown = json.loads(_run(checkout, "dvc", "metrics", "show", "--json"))
    figures = shown[""]["data"]["artifacts/compare/metrics.json"]["data"]
    assert set(figures) >= {*ARMS, "real", "copy_input"}
    page = _run(checkout, "dvc", "plots", "show").strip().splitlines()[-1]
    assert page.endswith("index.html")


def _commit(checkout: Layout) -> None:
    _run(checkout, "git", "add", "--all")
    _run(checkout, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "--message", "run")


def test_an_experiment_in_a_temporary_copy_has_metrics_and_logs_to_the_checkouts_store(
    checkout: Layout, first_run: str
) -> None:
    _commit(checkout)
    before = _num_runs(checkout)
    _run(checkout, "dvc", "exp", "run", "--temp", "--name", "few", "--set-param", "compare.num_resamples=51")
    shown = json.loads(_run(checkout, "dvc", "exp", "show", "--json"))
    (experiment,) = (found for baseline in shown for found in baseline["experiments"] or [])
    figures = experiment["revs"][0]["data"]["metrics"]["artifacts/compare/metrics.json"]["data"]
    assert set(figures) >= {*ARMS, "real", "copy_input"} and figures["lstm_cbam"]["fid"] > 0
    assert _num_runs(checkout) > before
    assert list((checkout.root / ".dvc" / "tmp" / "exps").glob("**/params.yaml")) == []


def _num_runs(checkout: Layout) -> int:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{checkout.mlflow_db_path}")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return len(client.search_runs(ids))


def test_a_clone_has_all_results_from_the_remote_and_runs_nothing(
    checkout: Layout, first_run: str, tmp_path: Path
) -> None:
    _run(checkout, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    _commit(checkout)
    _run(checkout, "dvc", "push")
    _run(checkout, "git", "clone", "--quiet", str(checkout.root), str(tmp_path / "clone"))
    clone = Layout(tmp_path / "clone")
    _run(clone, "dvc", "pull")
    assert _stages_that_ran(_run(clone, "dvc", "repro")) == []
    assert clone.summary_path.read_bytes() == checkout.summary_path.read_bytes()


def test_only_edited_variants_rerun_and_a_killed_training_resumes(checkout: Layout, first_run: str) -> None:
    """test_killed_trainings.py compares the models of killed trainings with those of undisturbed ones."""
    params = yaml.safe_load(checkout.params_path.read_text())
    params["variants"]["no_lstm"] = {"network": "speech2vid", "seed": None}
    checkout.params_path.write_text(yaml.safe_dump(params, sort_keys=False))

    process = start(checkout.root, "dvc", "repro")
    _kill_training_after_its_first_checkpoint(process, checkout)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert _stages_that_ran(output) == ["train_gan@no_lstm"]

    output = _run(checkout, "dvc", "repro")
    assert sorted(_stages_that_ran(output)) == ["compare", "evaluate@no_lstm", "train_gan@no_lstm"]
    assert "resumed from the checkpoint of step" in output


def _kill_training_after_its_first_checkpoint(process: subprocess.Popen[str], checkout: Layout) -> None:
    training: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not training:
            time.sleep(0.2)
            with contextlib.suppress(psutil.NoSuchProcess):
                below = psutil.Process(process.pid).children(recursive=True)
                training = [child for child in below if "pipeline.stages.train_gan" in child.cmdline()]
        elif list(checkout.scratch_dir.glob("train_gan-no_lstm/*/last.pt")):
            training[0].kill()
            return
        else:
            time.sleep(0.01)
    raise AssertionError("no checkpoint appeared within 120 s")
