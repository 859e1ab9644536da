"""Temporary files of atomic writes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.core import atomic
from pipeline.core.errors import UserError


def test_only_files_of_ended_processes_are_abandoned(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = {f".o.{os.getpid()}.mp4", f".o.{ended.pid}.wav", f".o.x.{ended.pid}.mp4", ".o.mp4", "o.mp4"}
    for name in [*kept, f".o.{ended.pid}.mp4"]:
        (tmp_path / name).touch()
    atomic.remove_abandoned(tmp_path / "o.mp4")
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_writable_path_is_left_as_it_is(tmp_path: Path) -> None:
    atomic.require_writable(tmp_path / "new folder" / "o.mp4", "--out")
    assert not any((tmp_path / "new folder").iterdir())
    (tmp_path / "o.mp4").write_text("old")
    atomic.require_writable(tmp_path / "o.mp4", "--out")
    assert (tmp_path / "o.mp4").read_text() == "old"


@pytest.mark.parametrize("name", ["file/o.mp4", "n" * 250 + ".mp4"])
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"^--out {re.escape(str(tmp_path / name))} cannot be written: "):
        atomic.require_writable(tmp_path / name, "--out")


def test_folders_of_ended_processes_are_abandoned_too(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        (tmp_path / f".frames.{pid}").mkdir()
        (tmp_path / f".frames.{pid}" / "1.png").touch()
    atomic.remove_abandoned(tmp_path / "frames")
    assert [path.name for path in tmp_path.iterdir()] == [f".frames.{os.getpid()}"]
    atomic.remove_abandoned(tmp_path / "nowhere" / "frames")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "frames"
    (tmp_path / "new" / f".frames.{os.getpid()}").mkdir(parents=True)  # of a killed process with the same number
    (tmp_path / "new" / f".frames.{os.getpid()}" / "old.png").touch()
    with pytest.raises(ZeroDivisionError), atomic.replacing_folder(folder) as temporary:
        (temporary / "1.png").touch()
        raise ZeroDivisionError
    assert not any((tmp_path / "new").iterdir())
    folder.mkdir()
    with atomic.replacing_folder(folder) as temporary:
        (temporary / "1.png").touch()
        assert not any(folder.iterdir())
    assert [path.name for path in folder.parent.rglob("*")] == ["frames", "1.png"]
