"""Progress and warnings that a stage's process reports to the flow that started it.

The flow sets ``LIPSMITH_PROGRESS_FILE`` to a path. The process appends one JSON object per line to that file, and the
flow reads the lines while the stage runs. Without the variable nothing is written. A failure to write is ignored: the
file only serves the display.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROGRESS_VARIABLE = "LIPSMITH_PROGRESS_FILE"
WRITE_EVERY_S = 0.5
"""Shortest time in seconds between two lines of progress."""
MAX_WARNINGS = 100
"""Number of different warnings of one process that are written."""


@dataclass(frozen=True)
class StageProgress:
    """How far a stage is: ``done`` of ``total`` units of one piece of work.

    ``what``: name of the work, such as ``score``; a stage may do several one after another. ``total``: None if it is
    not known. ``figure``: short text of the value to watch, such as ``loss 0.031`` or ``12.3 clips/s``. ``num_before``:
    units of ``done`` that an earlier, interrupted process did.
    """

    what: str
    done: int
    total: int | None
    figure: str = ""
    num_before: int = 0


@dataclass(frozen=True)
class StageWarning:
    """A warning that the stage logged."""

    text: str


StageEvent = StageProgress | StageWarning


class EventWriter:
    """Appends events to a file, each with a single write, so that lines of several processes do not mix. Thread-safe.

    ``path``: None writes nothing.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._written_at = -WRITE_EVERY_S
        self._warnings: set[str] = set()
        self._lock = threading.Lock()

    @classmethod
    def of_environment(cls) -> EventWriter:
        """The writer to the file of ``LIPSMITH_PROGRESS_FILE``, which writes nothing if the variable is not set."""
        given = os.environ.get(PROGRESS_VARIABLE)
        return cls(Path(given) if given else None)

    @property
    def is_on(self) -> bool:
        """Whether events are written at all."""
        return self._path is not None

    def progress(self, event: StageProgress, *, is_last: bool = False) -> None:
        """Write how far the stage is, at most every `WRITE_EVERY_S` and at the end of a piece of work (``is_last``)."""
        if self._path is None:
            return
        with self._lock:
            now = self._clock()
            if not is_last and now - self._written_at < WRITE_EVERY_S:
                return
            self._written_at = now
        self._append(asdict(event))

    def warning(self, text: str) -> None:
        """Write a warning. The same text is written once."""
        if self._path is None:
            return
        with self._lock:
            if text in self._warnings or len(self._warnings) >= MAX_WARNINGS:
                return
            self._warnings.add(text)
        self._append({"warning": text})

    def _append(self, content: dict[str, Any]) -> None:
        assert self._path is not None
        line = json.dumps(content).encode() + b"\n"
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(line)
        except OSError:
            return


class EventHandler(logging.Handler):
    """Passes warnings, and the `StageProgress` that a log call gives as ``extra={"progress": ...}``, to a writer.

    An error is not passed on: it ends the stage, and the flow reports it as the reason.
    """

    def __init__(self, writer: EventWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            progress = getattr(record, "progress", None)
            if isinstance(progress, StageProgress):
                self._writer.progress(progress)
            elif record.levelno == logging.WARNING:
                self._writer.warning(record.getMessage())
        except Exception:  # such as a message that does not fit its arguments
            self.handleError(record)


class EventReader:
    """Reads the events of a file in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def read(self) -> list[StageEvent]:
        """The events since the last call. A half-written last line is left for the next call.

        A line that is no event is skipped. A missing file has no events.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = (_parsed(line) for line in whole.splitlines())
        return [event for event in events if event is not None]


def _parsed(line: bytes) -> StageEvent | None:
    try:
        content = json.loads(line)
        if "warning" in content:
            return StageWarning(str(content["warning"]))
        total = content["total"]
        return StageProgress(
            str(content["what"]),
            int(content["done"]),
            None if total is None else int(total),
            str(content["figure"]),
            int(content["num_before"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
