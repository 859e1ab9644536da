"""``python -m pipeline.tracking``: errors of the store are one line and an exit code."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.core.layout import Layout
from pipeline.tracking import __main__ as command
from pipeline.tracking import store


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "log_to_stderr", lambda: None)
    monkeypatch.setattr(command, "serve", lambda layout, port, opens: 0)
    return Layout(tmp_path)


def test_a_checkout_without_a_store_is_left_unchanged(layout: Layout) -> None:
    assert command.main([]) == 0
    assert not layout.mlflow_db_path.exists()


def test_a_store_that_another_program_locks_is_reported(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "_LOCK_S", 0.1)
    with closing(sqlite3.connect(layout.mlflow_db_path)) as other:
        other.execute("CREATE TABLE experiments (artifact_location TEXT)")
        other.commit()
        other.execute("BEGIN EXCLUSIVE")
        assert command.main([]) == 75
    assert f"{layout.mlflow_db_path} cannot be updated: database is locked; close other programs" in caplog.text


def test_a_damaged_store_is_reported(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    layout.mlflow_db_path.write_bytes(b"not a database, " * 64)
    assert command.main([]) == 2
    assert f"{layout.mlflow_db_path} is damaged" in caplog.text


def test_an_error_of_the_operating_system_is_reported(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: Layout) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "update_artifact_addresses", full)
    assert command.main([]) == 2
    assert "No space left on device" in caplog.text
