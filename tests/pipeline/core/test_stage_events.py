"""Events that a stage's process writes and its flow reads."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core import stage_events
from pipeline.core.stage_events import EventHandler, EventReader, EventWriter, StageProgress, StageWarning
from pipeline.report.progress import Progress

TRAINING = StageProgress("train", 20, 300, "loss 0.031")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def logger(path: Path) -> Iterator[logging.Logger]:
    found = logging.getLogger("a stage")
    found.setLevel(logging.INFO)
    handler = EventHandler(EventWriter(path))
    found.addHandler(handler)
    yield found
    found.removeHandler(handler)


def test_what_is_written_is_read_once_and_in_order(path: Path) -> None:
    writer, reader = EventWriter(path), EventReader(path)
    assert reader.read() == []  # the file does not exist yet
    writer.progress(TRAINING)
    writer.warning("low accuracy")
    assert reader.read() == [TRAINING, StageWarning("low accuracy")]
    assert reader.read() == []
    last = StageProgress("score", 5, None)
    writer.progress(last, is_last=True)
    assert reader.read() == [last]


def test_a_half_written_line_is_read_when_it_is_whole(path: Path) -> None:
    reader = EventReader(path)
    EventWriter(path).progress(TRAINING)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert reader.read() == [TRAINING]
    assert reader.read() == []
    path.write_bytes(whole + whole)
    assert reader.read() == [TRAINING]


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe",
        b"[1, 2]",
        b"7",
        b"{}",
        b'{"what": "train", "done": "many", "total": 3, "figure": "", "num_before": 0}',
        b"{",
        b"",
    ],
)
def test_a_line_that_is_no_event_is_skipped(path: Path, line: bytes) -> None:
    path.write_bytes(line + b"\n")
    EventWriter(path).progress(TRAINING)
    assert EventReader(path).read() == [TRAINING]


def test_progress_is_written_at_most_twice_a_second_and_always_at_its_end(path: Path) -> None:
    now = 0.0
    writer = EventWriter(path, clock=lambda: now)
    for step in range(1, 41):
        now = 0.1 * step
        writer.progress(StageProgress("train", step, 40))
    writer.progress(StageProgress("train", 40, 40), is_last=True)
    events = [event for event in EventReader(path).read() if isinstance(event, StageProgress)]
    assert 7 <= len(events) <= 9
    assert events[-1].done == 40


def test_a_warning_is_written_once_and_their_number_is_bounded(path: Path) -> None:
    writer = EventWriter(path)
    for number in range(2 * stage_events.MAX_WARNINGS):
        writer.warning(f"clip {number}")
        writer.warning("clip 0")
    assert len(EventReader(path).read()) == stage_events.MAX_WARNINGS


def test_a_failure_to_write_is_ignored(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no folder" / "events"):
        writer = EventWriter(path)
        writer.progress(TRAINING)
        writer.warning("low accuracy")


def test_warnings_and_progress_of_log_calls_are_passed_on_and_errors_are_not(
    path: Path, logger: logging.Logger
) -> None:
    logger.info("resumed")
    logger.info("step 20/300", extra={"progress": TRAINING})
    logger.warning("accuracy %.2f is low", 0.5)
    logger.error("no clips")
    assert EventReader(path).read() == [TRAINING, StageWarning("accuracy 0.50 is low")]


def test_a_process_of_a_flow_writes_and_any_other_does_not(path: Path, repo_root: Path) -> None:
    code = (
        "import logging; from pipeline.core.logs import log_to_stderr; log_to_stderr(); "
        "logging.getLogger('x').warning('low'); from pipeline.report.progress import tracked; "
        "list(tracked('ab', 'score', 2))"
    )
    for environment, num_lines in (({}, 0), ({stage_events.PROGRESS_VARIABLE: str(path)}, 3)):
        subprocess.run([sys.executable, "-c", code], cwd=repo_root, env=environment, check=True, capture_output=True)
        assert len(path.read_text().splitlines() if path.exists() else []) == num_lines
    events = EventReader(path).read()
    assert events[0] == StageWarning("low")
    assert isinstance(events[-1], StageProgress)
    assert (events[-1].what, events[-1].done, events[-1].total) == ("score", 2, 2)


def test_progress_reports_the_rate_as_its_figure(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stage_events.PROGRESS_VARIABLE, str(path))
    now = 0.0
    with Progress("preprocess", 100, clock=lambda: now) as progress:
        progress.add(40, is_fresh=False)
        now = 10.0
        progress.add(20)
    assert EventReader(path).read() == [
        StageProgress("preprocess", 40, 100, "", num_before=40),
        StageProgress("preprocess", 60, 100, "2.0 clips/s", num_before=40),
    ]
