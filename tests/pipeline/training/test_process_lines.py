"""Log lines of a training's processes in the process that started the training."""

from __future__ import annotations

import logging
import queue
from typing import Any

import pytest

from pipeline.core.stage_events import StageProgress
from pipeline.training import distributed


class Messages(queue.Queue[Any]):
    def shutdown(self, immediate: bool = False) -> None: ...


def test_a_line_arrives_with_its_level_and_the_progress_for_the_flow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = object.__new__(distributed._Attempt)
    attempt._messages, attempt.results, attempt.error = Messages(), [], None
    progress = StageProgress("train", 20, 300)

    def fit() -> None:
        line = logging.makeLogRecord(
            {"name": "pipeline.test", "levelno": logging.WARNING, "msg": "step %d", "args": (20,), "progress": progress}
        )
        distributed._SendLines(attempt._messages).emit(line)
        distributed._SendLines(attempt._messages).emit(
            logging.makeLogRecord({"name": "pipeline.test", "levelno": logging.WARNING, "msg": "plain"})
        )

    monkeypatch.setattr(attempt, "_fit", fit)
    attempt.follow(lambda rows: None)
    first, second = caplog.records
    assert (first.getMessage(), first.levelno) == ("step 20", logging.WARNING)
    assert second.getMessage() == "plain"
    assert [vars(record)["progress"] for record in caplog.records] == [progress, None]
