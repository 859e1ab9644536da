"""A whole run of doctor: report, pictures, tracking and exit code, with a small checkout and a fake environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipeline.cli import main as command_line
from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.doctor import examine as examine_module
from pipeline.doctor.check import Check, Status, fail, ok, warn
from pipeline.doctor.data_report import NUM_SPEAKERS
from pipeline.doctor.environment import probes
from pipeline.doctor.examine import examine, figures, track
from pipeline.params import Params
from pipeline.shards.read import read_index, read_rejects
from pipeline.shards.write import write_index, write_rejects
from pipeline.tracking import tracker
from tests.support.tiny_clips import MakeData, reject

pytestmark = pytest.mark.slow

FINE = [ok("python", "3.11"), ok("MLflow", "answers")]
Pretend = Callable[[list[Check]], None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Sets the results of the environment's checks."""

    def set_checks(checks: list[Check]) -> None:
        monkeypatch.setattr(examine_module, "check_environment", lambda layout, params: checks)

    set_checks(FINE)
    return set_checks


@pytest.fixture
def some_data(make_data: MakeData) -> None:
    make_data(
        {"a/1": ("train", {}), "a/2": ("train", {"face_px": 50.0}), "b/1": ("test", {}), "b/2": ("test", {})},
        {"b/3": ("train", "face_lost")},
    )


def folder(layout: Layout) -> Path:
    return layout.stage_dir("doctor")


def report(layout: Layout) -> str:
    return (folder(layout) / "report.md").read_text()


def data_checks(layout: Layout) -> list[Check]:
    return [check for check in examine(layout).checks if check.name not in ("python", "MLflow")]


@pytest.mark.usefixtures("some_data")
def test_the_report_has_the_environment_first_then_the_data_then_advice(layout: Layout, pretend: Pretend) -> None:
    pretend([*FINE, warn("Ray", "half | there", "wait"), fail("disk", "full", "make room")])
    found = examine(layout)
    assert found.has_failed
    text = report(layout)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:5] == [
        "| disk | **fail** | full | make room |",
        "| Ray | **warn** | half \\| there | wait |",
        "| python | ok | 3.11 |  |",
    ]
    places = [text.index(f"## {title}") for title in ("Environment", "Data", "What to do")]
    assert places == sorted(places)
    assert "| train | 3 | 2 | 1 | 33.3% |" in text
    assert "| all | 5 | 4 | 1 | 20.0% |" in text
    assert "| `face_lost` | the face was found in too few frames" in text
    assert "| a | 2 | 2 | 0 | 0.0% | 85 [54, 116] |" in text
    assert "Sync was not measured" in text
    assert "- 20% of the clips are rejected" in text
    for name in ("distributions.png", "contact_sheet.png"):
        assert f"({name})" in text
        assert (folder(layout) / name).read_bytes().startswith(b"\x89PNG")
    assert "| smallest face | `a/2` | train | 50 px |" in text


def test_sync_is_reported_where_the_index_has_it(layout: Layout, pretend: Pretend, make_data: MakeData) -> None:
    make_data({f"a/{k}": ("train", {"sync_offset_frames": 4.0, "sync_confidence": 1.5 + k}) for k in range(2)})
    examine(layout)
    text = report(layout)
    assert "not measured" not in text
    assert "| sync offset, frames | 4.0 [4.0, 4.0] |" in text
    assert "| least confident sync | `a/0` | train | 1.50 |" in text
    assert "out of sync" in text


def test_only_the_worst_speakers_are_listed(layout: Layout, pretend: Pretend, make_data: MakeData) -> None:
    kept = {f"s{k:02}/1": ("train", {}) for k in range(NUM_SPEAKERS + 5)}
    make_data(kept, {"s24/2": ("train", "no_face")})
    examine(layout)
    text = report(layout)
    assert "5 more speakers" in text
    section = text[text.index("### Speakers") : text.index("![")]
    listed = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| s")][1:]
    assert listed == ["s24", *(f"s{k:02}" for k in range(NUM_SPEAKERS - 1))]


def test_without_data_the_report_names_the_command(layout: Layout, pretend: Pretend, make_data: MakeData) -> None:
    found = examine(layout)
    assert not found.has_failed
    (check,) = data_checks(layout)
    assert (check.name, check.status) == ("data", Status.WARN)
    assert "dvc repro download" in check.found
    assert "dvc repro preprocess" in report(layout)
    assert not (folder(layout) / "contact_sheet.png").exists()
    make_data({"a/1": ("train", {})})
    (layout.shards_dir / "index.parquet").unlink()
    (check,) = data_checks(layout)
    assert check.status is Status.WARN
    assert "1 clips are listed" in check.found


@pytest.mark.usefixtures("some_data")
def test_pictures_of_an_earlier_run_are_deleted(layout: Layout, pretend: Pretend) -> None:
    examine(layout)
    assert (folder(layout) / "contact_sheet.png").exists()
    layout.manifest_path.unlink()
    examine(layout)
    assert {path.name for path in folder(layout).iterdir()} == {"report.md"}


def test_rejects_alone_are_counted_without_pictures(layout: Layout, pretend: Pretend, make_data: MakeData) -> None:
    make_data({}, {"a/1": ("train", "no_face")})
    assert not examine(layout).has_failed
    assert "| all | 1 | 0 | 1 | 100.0% |" in report(layout)
    assert "![" not in report(layout)


@pytest.mark.usefixtures("some_data")
def test_damaged_data_fail_one_check_and_the_report_is_still_written(
    layout: Layout, pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    (layout.shards_dir / "train" / "train-00000.tar").unlink()
    sums, picture = data_checks(layout)
    assert sums.status is Status.OK
    assert (picture.name, picture.status) == ("contact_sheet.png", Status.FAIL)
    assert "train-00000.tar is in the index but does not exist" in picture.found
    assert "(distributions.png)" in report(layout)
    assert "(contact_sheet.png)" not in report(layout)

    (layout.shards_dir / "index.parquet").write_bytes(b"no table")
    (check,) = data_checks(layout)
    assert (check.name, check.status) == ("data", Status.FAIL)
    assert "ok" in report(layout)

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "write_text", full)
    last = examine(layout).checks[-1]
    assert (last.name, last.status) == ("report", Status.FAIL)


@pytest.mark.usefixtures("some_data")
def test_a_sync_index_of_earlier_shards_is_ignored_with_a_warning(
    layout: Layout, pretend: Pretend, make_data: MakeData
) -> None:
    rows = [replace(row, shard=f"../shards/{row.shard}") for row in read_index(layout.shards_dir)]
    write_index(layout.clips_dir, rows[1:])
    out_of_sync = reject(rows[0].clip_id, rows[0].split, "out_of_sync")
    write_rejects(layout.clips_dir, [*read_rejects(layout.shards_dir), out_of_sync])
    (check,) = data_checks(layout)
    assert check.found.startswith("5 clips listed, 3 kept, 2 rejected")
    make_data({}, {f"{name}": ("train", "no_face") for name in ("a/1", "a/2", "b/1", "b/2", "b/3")})
    sums, sync = data_checks(layout)
    assert sums.found.startswith("5 clips listed, 0 kept, 5 rejected")
    assert (sync.name, sync.status) == ("sync check", Status.WARN)
    assert "dvc repro sync_filter" in sync.remedy


def test_the_report_is_written_with_invalid_params(layout: Layout, pretend: Pretend) -> None:
    layout.params_path.write_text("seed: nonsense")
    found = examine(layout)
    assert found.params is None
    assert track(found, layout) == "not logged: params.yaml cannot be used"
    assert (folder(layout) / "report.md").is_file()


def test_every_check_is_run(layout: Layout, params: Params) -> None:
    names = ["python", "packages", "Prefect's caps", "opencv", "torchvision", "GPU", "cores", "memory", "disk", "git"]
    names += ["DVC", "params.yaml", "clips", "weights", "face detector", "MLflow", "Ray", "Prefect"]
    assert list(probes(layout, params)) == names


# tracking


@pytest.mark.usefixtures("some_data")
def test_the_run_is_one_for_each_state_of_the_data(layout: Layout, pretend: Pretend, make_data: MakeData) -> None:
    for _ in range(2):
        assert track(examine(layout), layout) == "logged: run doctor of experiment lipsmith-demo"
    client = MlflowClient(f"sqlite:///{layout.mlflow_db_path}")
    experiment = client.get_experiment_by_name("lipsmith-demo")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'doctor'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["doctor/all.num_rejected"] == 1
    assert run.data.metrics["doctor/num_checks_ok"] == 3
    assert run.data.params["dataset.source"] == "demo"
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert names == {"report.md", "contact_sheet.png", "distributions.png", "metrics"}
    make_data({"a/1": ("train", {})})
    track(examine(layout), layout)
    assert len(client.search_runs([experiment.experiment_id], "attributes.run_name = 'doctor'")) == 2


@pytest.mark.parametrize("check", [fail("MLflow", "away", "start it"), warn("MLflow", "in use", "wait")])
def test_nothing_is_logged_to_a_store_that_does_not_answer(
    layout: Layout, pretend: Pretend, monkeypatch: pytest.MonkeyPatch, check: Check
) -> None:
    pretend([check])
    monkeypatch.setattr(tracker, "open_tracker", None)
    assert track(examine(layout), layout) == "not logged: MLflow cannot be used"


def test_metrics_without_data_count_the_checks(layout: Layout, pretend: Pretend) -> None:
    assert figures(examine(layout)) == {"num_checks_fail": 0, "num_checks_warn": 1, "num_checks_ok": 2}


# command line


@pytest.mark.parametrize(
    ("checks", "code"),
    [(FINE, 0), ([*FINE, warn("Ray", "slow", "wait")], 0), ([*FINE, fail("disk", "full", "make room")], 1)],
)
def test_exit_codes(
    layout: Layout, pretend: Pretend, monkeypatch: pytest.MonkeyPatch, checks: list[Check], code: int
) -> None:
    pretend(checks)
    monkeypatch.chdir(layout.root)
    monkeypatch.setattr(examine_module, "track", None)  # must not be called
    result = CliRunner().invoke(command_line.app, ["doctor", "--no-track"])
    assert result.exit_code == code, result.output
    assert f"report: {folder(layout) / 'report.md'}" in result.output
    first = result.output.splitlines()[0].split()
    assert first[:2] == (["fail", "disk"] if code else ["warn", "Ray" if len(checks) == 3 else "data"])
    if code:
        assert "-> make room" in result.output


@pytest.mark.usefixtures("some_data")
def test_the_terminal_shows_checks_and_hints(layout: Layout, pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(layout.root)
    monkeypatch.setattr(examine_module, "track", lambda found, layout: "logged: somewhere")
    result = CliRunner().invoke(command_line.app, ["doctor"])
    assert result.exit_code == 0
    assert "5 clips listed, 4 kept, 1 rejected" in result.output
    assert "Checks: 0 failed, 0 with a warning, 3 passed." in result.output
    assert "- 20% of the clips are rejected" in result.output
    assert result.output.splitlines()[-1] == "logged: somewhere"
