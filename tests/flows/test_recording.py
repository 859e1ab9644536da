"""Log files and events of stages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flows import dvc, processes
from flows.board import Board, LoggedWarning, using
from flows.recording import recording
from pipeline.core.layout import Layout

REPORTING = """
import logging
from pipeline.core.logs import log_to_stderr
from pipeline.core.stage_events import StageProgress
log_to_stderr()
logging.getLogger("a").info("step", extra={"progress": StageProgress("train", 3, 4, "loss 0.1")})
logging.getLogger("a").warning("accuracy is low")
"""


def test_a_process_reports_to_the_board_and_its_output_is_kept(tmp_path: Path, repo_root: Path) -> None:
    board = Board()
    lines: list[str] = []
    with using(board), recording(tmp_path, "train@a", lines.append) as record:
        environment = {**record.environment, "PYTHONPATH": str(repo_root)}
        assert processes.stream([sys.executable, "-c", REPORTING], tmp_path, record.on_line, environment) == 0
        (row,) = board.view().rows
    assert row.progress is not None
    assert (row.state, row.progress.done, row.progress.total) == ("running", 3, 4)
    assert board.view().warnings == (LoggedWarning("train@a", "accuracy is low"),)
    assert lines == ["step", "accuracy is low"]
    folder = Layout(tmp_path).logs_dir
    assert (folder / "train@a.log").read_text() == "step\naccuracy is low\n"
    assert [path.name for path in folder.iterdir()] == ["train@a.log"]  # the events are removed


def test_another_try_continues_the_log_and_another_run_begins_it_anew(tmp_path: Path) -> None:
    path = Layout(tmp_path).logs_dir / "a.log"
    for expected in ("one\ntwo\n", "one\ntwo\n"):
        with using(Board()):
            for line in ("one", "two"):
                with recording(tmp_path, "a", print) as record:
                    record.on_line(line)
        assert path.read_text() == expected


def test_a_log_that_cannot_be_written_does_not_stop_the_stage(tmp_path: Path) -> None:
    (tmp_path / ".scratch").write_text("no folder")
    lines: list[str] = []
    with using(Board()), recording(tmp_path, "a", lines.append) as record:
        record.on_line("one")
    assert lines == ["one"]


def test_a_failure_ends_the_recording(tmp_path: Path) -> None:
    board = Board()
    with using(board), pytest.raises(dvc.DvcError), recording(tmp_path, "a", print):
        raise dvc.DvcError("its command exited with 1")
    assert board.running() == []
