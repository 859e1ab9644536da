"""Opening the MLflow store: moved checkouts, deleted experiments, variables that are set before MLflow's import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.core.layout import Layout
from pipeline.tracking.store import experiment_id, open_client

ADDRESS_NAMES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
PROBE = """
from pathlib import Path
from pipeline.core.layout import Layout
from pipeline.promote import registry
from pipeline.tracking import store
layout = Layout(Path({root!r}))
{opening}
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.telemetry.client import get_telemetry_client
print(get_telemetry_client(), MLFLOW_HTTP_REQUEST_TIMEOUT.get())
"""


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ADDRESS_NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def open_anew(monkeypatch: pytest.MonkeyPatch) -> Callable[[Layout], MlflowClient]:
    """Open a store as a new process would, without the addresses that MLflow puts into the environment."""

    def opened(layout: Layout) -> MlflowClient:
        for name in ADDRESS_NAMES:
            monkeypatch.delenv(name, raising=False)
        return open_client(layout)

    return opened


def log_note(client: MlflowClient, experiment: str) -> None:
    """Log an artifact in a new run."""
    client.log_text(client.create_run(experiment).info.run_id, "hello", "note.txt")


def num_notes(client: MlflowClient, experiment: str) -> int:
    """Number of artifacts that MLflow finds."""
    return sum(len(client.list_artifacts(run.info.run_id)) for run in client.search_runs([experiment]))


def num_note_files(layout: Layout) -> int:
    return len(list((layout.root / "mlruns").rglob("note.txt")))


def addresses(layout: Layout) -> list[str]:
    client = MlflowClient(f"sqlite:///{layout.mlflow_db_path}")
    return sorted(str(found.artifact_location) for found in client.search_experiments())


@pytest.mark.slow
def test_artifacts_move_and_are_copied_with_the_checkout(
    tmp_path: Path,
    open_anew: Callable[[Layout], MlflowClient],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old, new, copy = (Layout(tmp_path / name) for name in ("an old place", "new_place", "copy"))
    client = open_anew(old)
    log_note(client, experiment_id(client, old, "demo"))
    assert num_note_files(old) == 1
    (tmp_path / "big disk").mkdir()
    foreign = [
        (tmp_path / "big disk" / "mlruns").as_uri(),
        (tmp_path / "an old place" / "mlruns-2").as_uri(),
        "s3://bucket/mlruns",
    ]
    for location in foreign:
        client.create_experiment(location[-8:], artifact_location=location)

    old.root.rename(new.root)
    client = open_anew(new)
    experiment = experiment_id(client, new, "demo")
    assert num_notes(client, experiment) == 1
    log_note(client, experiment)
    assert num_note_files(new) == num_notes(client, experiment) == 2
    assert not old.root.exists()
    assert set(foreign) < set(addresses(new))
    assert experiment_id(open_anew(new), new, "demo") == experiment
    assert caplog.text.count("the checkout was moved or copied") == 1

    shutil.copytree(new.root, copy.root)
    known = addresses(new)
    client = open_anew(copy)
    log_note(client, experiment)
    assert num_note_files(copy) == num_notes(client, experiment) == 3
    assert (num_note_files(new), addresses(new)) == (2, known)

    # A store that several checkouts share is left unchanged.
    third = Layout(tmp_path / "third")
    third.root.mkdir()
    third.mlflow_db_path.symlink_to(new.mlflow_db_path)
    open_anew(third)
    assert addresses(new) == known
    third.mlflow_db_path.unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{new.mlflow_db_path}")
    open_client(third)
    assert addresses(new) == known


@pytest.mark.slow
def test_the_ui_of_a_moved_checkout_finds_its_artifacts_before_any_stage_runs(
    tmp_path: Path, repo_root: Path, open_anew: Callable[[Layout], MlflowClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Layout(tmp_path / "old"), Layout(tmp_path / "new")
    client = open_anew(old)
    experiment = experiment_id(client, old, "demo")
    log_note(client, experiment)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(repo_root / name, old.root / name)
    old.root.rename(new.root)
    uri = f"sqlite:///{new.mlflow_db_path}"
    assert num_notes(MlflowClient(uri), experiment) == 0
    without_server = "from pipeline.tracking import __main__ as it; it.serve = lambda *_, **__: 0; it.main([])"
    command = [sys.executable, "-c", without_server]
    environment = os.environ | {"PYTHONPATH": str(repo_root), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = subprocess.run(command, cwd=new.root, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.count("the checkout was moved or copied") == 1
    assert num_notes(MlflowClient(uri), experiment) == 1

    # A missing store and a store without tables are left unchanged.
    new.mlflow_db_path.unlink()
    subprocess.run(command, cwd=new.root, env=environment, check=True)
    assert not new.mlflow_db_path.exists()
    new.mlflow_db_path.touch()
    subprocess.run(command, cwd=new.root, env=environment, check=True)


@pytest.mark.slow
def test_a_deleted_experiment_is_restored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = Layout(tmp_path)
    client = open_client(layout)
    experiment = experiment_id(client, layout, "demo")
    run_id = client.create_run(experiment).info.run_id
    client.delete_experiment(experiment)
    assert experiment_id(client, layout, "demo") == experiment
    assert "lipsmith-demo was deleted; it is restored" in caplog.text
    assert [run.info.run_id for run in client.search_runs([experiment])] == [run_id]


@pytest.mark.slow
@pytest.mark.parametrize(
    "opening", ["store.open_client(layout)", "with registry.open_registry(layout) as it: it.aliases()"]
)
def test_telemetry_is_off_and_the_timeout_is_short_through_either_module(
    tmp_path: Path, repo_root: Path, opening: str
) -> None:
    # MLflow also turns telemetry off in test runs and CI, which it detects by these variables.
    prefixes = ("MLFLOW_", "PYTEST_", "DO_NOT_TRACK", "CI", "GITHUB_", "GITLAB_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    code = PROBE.format(root=str(tmp_path), opening=opening)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo_root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["None", "15"]
