"""The points of a sweep, and how a sweep resumes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Task

from flows import dvc, sweep
from flows.dvc_commands import run_dvc
from flows.sweep_points import grid_of, points_of, read_list
from flows.tasks import RETRY_DELAYS_S, may_retry
from pipeline.core.errors import UserError


@pytest.fixture
def params(repo_root: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((repo_root / "params.yaml").read_text())
    return content


def test_a_grid_has_all_combinations_and_every_seed() -> None:
    found = grid_of(["train_gan.width=0.25,0.5", "train_gan.augment=true"], [1, 2])
    assert found == [
        {"train_gan.width": width, "train_gan.augment": True, "seed": seed} for width in (0.25, 0.5) for seed in (1, 2)
    ]
    assert grid_of([], [7]) == [{"seed": 7}]


@pytest.mark.parametrize(
    ("settings", "seeds", "message"),
    [
        (["train_gan.width"], [], "must have the form KEY=VALUE"),
        (["=1"], [], "must have the form KEY=VALUE"),
        (["seed=1", "seed=2"], [], "--set seed is given twice"),
        (["seed=1"], [2], "not both"),
        (["seed=[1"], [], "is not a YAML value"),
        (["profile=demo,2024-01-01"], [], "--set 'profile=demo,2024-01-01' has a value that is no text"),
        (["seed=!!set {a}"], [], "has a value that is no text"),
    ],
)
def test_a_wrong_setting_is_named(settings: list[str], seeds: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grid_of(settings, seeds)


@pytest.mark.parametrize("text", ["", "seed: 1", "- 3", "[", "- {}", "- {profile: 2024-01-01}", "- {a: {1: 2, b: 3}}"])
def test_a_list_file_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "points.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"points\.yaml"):
        read_list(path)
    path.write_text("- {seed: 2, train_gan.betas: [0.5, 0.9]}")
    assert read_list(path) == [{"seed": 2, "train_gan.betas": [0.5, 0.9]}]


def test_a_point_has_the_same_name_on_the_same_commit_with_the_same_targets_only(params: dict[str, Any]) -> None:
    (first,) = points_of("s", "commit", params, [{"seed": 1, "train_gan.width": 0.5, "train_syncnet.width": 0.5}])
    (again,) = points_of("s", "commit", params, [{"train_syncnet.width": 0.5, "train_gan.width": 0.5, "seed": 1}])
    (other,) = points_of("s", "other", params, [first.overrides])
    (part,) = points_of("s", "commit", params, [first.overrides], ["train_gan"])
    assert first.name == again.name and first.name.startswith("s-")
    assert len({first.name, other.name, part.name}) == 3
    assert first.settings == ["seed=1", "train_gan.width=0.5", "train_syncnet.width=0.5"]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("a/b", [{"seed": 1}], "must consist of letters"),
        ("s", [], "no points"),
        ("s", [{"seed": 1}, {"seed": 1}], "the point seed=1 occurs twice"),
        ("s", [{"seed": -1}], "at the point seed=-1: seed"),
        ("s", [{"train_gan.step": 1}], "no train_gan.step, which the point"),
        ("s", [{"variants.none.seed": 1}], "no variants.none.seed"),
    ],
)
def test_wrong_points_are_refused_before_any_runs(
    name: str, overrides: list[dict[str, Any]], message: str, params: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=message):
        points_of(name, "commit", params, overrides)


def test_experiments_of_the_current_commit_are_read_with_their_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"lstm_cbam": {"lse_d": 7.5, "fid": 20.0}}
    done = {"name": "s-1", "data": {"metrics": {sweep.COMPARISON_METRICS: {"data": figures}}}}
    shown = [{"rev": "HEAD", "experiments": [{"revs": [done]}, {"revs": None}]}, {"rev": "x", "experiments": None}]
    monkeypatch.setattr(sweep.dvc, "query", lambda *_: json.dumps(shown))
    assert sweep.read_metrics(Path()) == {"s-1": figures}


@pytest.mark.parametrize("state", ["running", "queued", "failed"])
def test_an_experiment_whose_process_was_killed_is_not_done(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC shows it as running, with the metrics that were in its temporary copy."""
    half = {"revs": [{"name": "s-1", "data": {}}], "executor": {"state": state, "name": "tempdir"}}
    whole = {"revs": [{"name": "s-2", "data": {}}], "executor": {"state": "success", "name": "dvc-task"}}
    shown = [{"rev": "HEAD", "experiments": [half, whole]}]
    monkeypatch.setattr(sweep.dvc, "query", lambda *_: json.dumps(shown))
    assert list(sweep.read_metrics(Path())) == ["s-2"]


def test_the_temporary_copy_of_a_killed_point_is_removed_and_no_other(tmp_path: Path) -> None:
    exps = tmp_path / ".dvc" / "tmp" / "exps"
    folders = {}
    for name, copy in {
        "s-1": exps / "standalone" / "tmp1",
        "s-2": exps / "standalone" / "tmp2",
        "s-3": tmp_path,
    }.items():
        for notes in (exps / "run", exps / "standalone" / "run"):
            (notes / name).mkdir(parents=True)
            (notes / name / f"{name}.run").write_text(json.dumps({"name": name, "root_dir": str(copy), "status": 2}))
        copy.mkdir(exist_ok=True)
        folders[name] = copy
    (exps / "run" / "s-3" / "s-3.run").write_text("{")
    sweep.remove_killed(tmp_path, "s-1")
    sweep.remove_killed(tmp_path, "s-3")
    assert {name: folder.is_dir() for name, folder in folders.items()} == {"s-1": False, "s-2": True, "s-3": True}
    assert [path.name for path in (exps / "standalone" / "run").iterdir()] == ["s-2"]


def test_the_table_has_settings_outcome_and_scores(params: dict[str, Any]) -> None:
    points = points_of("s", "commit", params, [{"seed": 1, "train_gan.num_steps": 600}, {"seed": 2}])
    scores = {"lstm_cbam": {"lse_d": 7.5, "fid": None}, "no_lstm": {"lse_d": 8.0, "fid": 20.0}, "withheld": "text"}
    outcomes = dict(zip((p.name for p in points), ("ran", "failed: the disk is full and cannot be used"), strict=True))
    lines = sweep.outcome_text(points, outcomes, {points[0].name: scores}).splitlines()
    assert [line.split() for line in lines] == [
        ["experiment", "settings", "outcome", "variant", "LSE-D", "FID"],
        [points[0].name, "seed=1", "ran", "lstm_cbam", "7.500", "-"],
        ["train_gan.num_steps=600", "no_lstm", "8.000", "20.000"],
        [points[1].name, "seed=2", *["failed:", "the", "disk", "is", "full", "and"], "-", "-", "-"],
        ["cannot", "be", "used"],
    ]


FAILS = """
import sys
print("Running stage 'train':")
print("12:00:00 pipeline.stage: train: the clips are missing")
print("ERROR: failed to reproduce 'train': failed to run: python x.py, exited with 3")
sys.exit(255)
"""


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(dvc.DvcError("train: it failed\nmore"), "train: it failed"), (dvc.TemporaryDvcError("train: again"), None)],
)
def test_a_temporary_failure_of_a_point_is_left_to_prefect(
    error: dvc.DvcError,
    outcome: str | None,
    params: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(sweep, "run_dvc", fail)
    (point,) = points_of("s", "commit", params, [{"seed": 1}])
    if outcome is None:
        with pytest.raises(dvc.TemporaryDvcError):
            sweep.run_point.fn(tmp_path, point, [])
    else:
        state = sweep.run_point.fn(tmp_path, point, [])
        assert state.is_failed() and (state.message, sweep._cause(state)) == (outcome, outcome)


@pytest.mark.parametrize("retried", [sweep.run_point, sweep.read_metrics_task])
def test_the_tasks_of_a_sweep_are_retried(retried: Task[Any, Any]) -> None:
    assert retried.retries == len(RETRY_DELAYS_S) and retried.retry_condition_fn is may_retry


def test_a_failed_command_names_stage_and_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc, "dvc_command", lambda *arguments: [sys.executable, "-c", FAILS])
    lines: list[str] = []
    with pytest.raises(dvc.DvcError) as caught:
        run_dvc(tmp_path, ["exp", "run"], lines.append)
    assert str(caught.value).splitlines()[0] == "train: its command exited with 3: the clips are missing"
    assert len(lines) == 3
