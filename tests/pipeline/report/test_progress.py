"""Progress as log lines and as a bar."""

from __future__ import annotations

import io
import itertools
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.core.logs import StderrHandler
from pipeline.report.progress import BYTES, Progress, hidden_progress, tracked
from tests.support.clock import Clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level(logging.INFO)
    return Clock()


def test_the_rate_and_the_time_left_are_of_what_is_fresh(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with Progress("preprocess", 100, clock=clock) as progress:
        progress.add(40, is_fresh=False, note="0 rejected")
        clock.now = 10.0
        progress.add(20, note=f"4 rejected, {1200 / progress.seconds:.0f} frames/s")
        assert caplog.messages == [
            "preprocess: 60 of 100 clips, 60%, 4 rejected, 120 frames/s, 2.0 clips/s, about 0:20 left"
        ]
        progress.add(40)
    assert caplog.messages[1:] == ["preprocess: 100 of 100 clips, 4 rejected, 120 frames/s, 6.0 clips/s"]


def test_lines_are_seconds_apart_and_the_end_is_logged_once(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with Progress("render", 4, clock=clock) as progress:
        for clock.now in (1.0, 6.0, 7.0, 12.0):
            progress.add()
    counts = [message.split(",")[0] for message in caplog.messages]
    assert counts == ["render: 2 of 4 clips", "render: 4 of 4 clips"]


def test_long_work_logs_a_line_a_minute(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with Progress("render", 7200, clock=clock) as progress:
        times = []
        for clock.now in range(1, 7200):
            progress.add()
            times += [clock.now] * (len(caplog.messages) - len(times))
    pauses = [int(after - before) for before, after in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (5, 60)


def test_nothing_is_logged_of_work_that_failed_was_done_before_or_is_short(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    with Progress("render", 4, clock=clock) as progress:
        progress.add(4, is_fresh=False)
    with Progress("render", 4, clock=clock) as progress:
        progress.add(4)
        clock.now += 4.9
    with pytest.raises(RuntimeError), Progress("render", 4, clock=clock) as progress:
        progress.add()
        raise RuntimeError
    assert caplog.messages == []


def test_bytes_are_shown_as_megabytes_and_gigabytes(clock: Clock) -> None:
    with Progress("download", 50_000_000_000, BYTES, clock) as progress:
        clock.now = 1000.0
        progress.add(12_500_000_000)
        assert progress.describe() == "12.50 GB of 50.00 GB, 25%, 12.5 MB/s, about 50:00 left"
        progress.add(-12_400_000_000)
        assert progress.describe() == "100.0 MB of 50.00 GB, 0%, 0.1 MB/s, about 138:36:40 left"


@pytest.mark.parametrize("total", [None, 2])
def test_without_a_total_or_beyond_it_the_count_stands_alone(total: int | None, clock: Clock) -> None:
    with Progress("drawing", total, "frames", clock) as progress:
        clock.now = 2.0
        progress.add(3)
        assert progress.describe() == "3 frames, 1.5 frames/s"


def test_tracked_items_come_unchanged_and_are_counted(
    caplog: pytest.LogCaptureFixture, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.report.progress.LOG_EVERY_S", 0.0)
    assert list(tracked(iter("abc"), "score", 3, "videos")) == ["a", "b", "c"]
    assert caplog.messages[-1].startswith("score: 3 of 3 videos, ")


def test_threads_lose_no_count(clock: Clock) -> None:
    with Progress("download", 8000, "pieces", clock) as progress:
        clock.now = 1.0
        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(lambda: [progress.add() for _ in range(1000)])
        assert progress.describe().startswith("8000 of 8000 pieces, ")


def test_a_terminal_shows_a_bar_and_log_lines_stay_whole_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    handler = StderrHandler()
    logger = logging.getLogger("above the bar")
    logger.addHandler(handler)
    try:
        with Progress("drawing", 4, "frames") as progress:
            progress.add(2)
            logger.warning("no score for a")
            progress.add(2)
    finally:
        logger.removeHandler(handler)
    assert sys.stderr is terminal
    text = terminal.getvalue()
    assert "drawing" in text
    assert "4 of 4 frames" in text
    assert any(line.endswith("no score for a") for line in text.splitlines())


def test_hidden_progress_shows_nothing_and_still_counts(
    caplog: pytest.LogCaptureFixture, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with hidden_progress():
        inner = Progress("dub", 4, "frames", clock=clock)
    with inner:
        for clock.now in (6.0, 12.0):
            inner.add()
        assert inner.describe().startswith("2 of 4 frames")
    assert sys.stderr.getvalue() == "" and caplog.messages == []  # type: ignore[attr-defined]


def test_rich_is_imported_for_a_bar_only(repo_root: Path) -> None:
    code = (
        "import sys; from pipeline.report.progress import tracked; list(tracked([1], 'x', 1)); print('rich' in "
        "sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repo_root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
