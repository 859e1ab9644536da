"""What is known of every stage of a run. The flow's threads write it; the console reads it as a `View`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from flows.dvc import StageGraph, StageOutcome
from flows.estimate import expected_duration, progress_left, time_to_end
from pipeline.core.errors import first_line
from pipeline.core.stage_events import EventReader, StageProgress, StageWarning

RowState: TypeAlias = StageOutcome | Literal["waiting", "running"]


@dataclass(frozen=True)
class Row:
    """One stage at one moment.

    ``progress``: None before the stage reports any. ``result``: the key metric of a finished stage, or why it failed,
    was skipped or waits. ``elapsed_s``: None before the start. ``left_s``: None if it is unknown.
    """

    stage: str
    state: RowState = "waiting"
    progress: StageProgress | None = None
    result: str = ""
    elapsed_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True)
class LoggedWarning:
    """A warning and the stage that logged it first."""

    stage: str
    text: str

    @property
    def line(self) -> str:
        """The warning after the name of its stage, which some texts begin with themselves."""
        return f"{self.stage}: {self.text.removeprefix(self.stage.split('@')[0] + ': ')}"


@dataclass(frozen=True)
class View:
    """The whole run at one moment.

    ``left_s``: seconds until its end. It leaves out the stages of ``unknown``, whose duration is unknown.
    ``warnings``: each text once, the newest last.
    """

    rows: tuple[Row, ...]
    elapsed_s: float = 0.0
    left_s: float = 0.0
    unknown: tuple[str, ...] = ()
    warnings: tuple[LoggedWarning, ...] = ()


@dataclass
class _Tracked:
    """A stage's row while it changes. ``base`` and ``latest``: time and progress of the first and the last event of
    the current piece of work.
    """

    may_run: bool = True
    state: RowState = "waiting"
    result: str = ""
    num_starts: int = 0
    is_resumed: bool = False
    started_at: float | None = None
    seconds: float | None = None
    events: EventReader | None = None
    base: tuple[float, StageProgress] | None = None
    latest: tuple[float, StageProgress] | None = None


@dataclass
class _Plan:
    upstream: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most_jobs: int = 1
    last_run: Mapping[str, float] = field(default_factory=dict)


class Board:
    """The rows of one run. Thread-safe; a signal handler may call it too."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        self._rows: dict[str, _Tracked] = {}
        self._plan = _Plan()
        self._warnings: dict[str, str] = {}
        self._lock = threading.RLock()  # the handler of Ctrl-C may interrupt a call of the same thread

    def expect(self, graph: StageGraph, stale: Collection[str], most_jobs: int, last_run: Mapping[str, float]) -> None:
        """Add a row for every stage. ``stale``: stages that will or may run. ``last_run``: stage -> seconds."""
        with self._lock:
            self._plan = _Plan(graph.upstream, most_jobs, last_run)
            for stage in (stage for wave in graph.waves() for stage in wave):
                self._rows[stage] = _Tracked(may_run=stage in stale)

    def start(self, stage: str, events_path: Path) -> int:
        """Mark a stage as running, read its events from a file, and return how often it has been started."""
        with self._lock:
            row = self._rows.setdefault(stage, _Tracked())
            row.state, row.result, row.num_starts = "running", "", row.num_starts + 1
            row.started_at, row.seconds, row.is_resumed = self._clock(), None, False
            row.events, row.base, row.latest = EventReader(events_path), None, None
            return row.num_starts

    def stop(self, stage: str) -> None:
        """Take the last events of a stage whose process has ended. The row waits until `finish` gives its outcome."""
        with self._lock:
            row = self._rows[stage]
            self._read_events(stage, row)
            row.state, row.events = "waiting", None
            row.seconds = None if row.started_at is None else self._clock() - row.started_at

    def note_waiting(self, stage: str, why: str) -> None:
        """Note why a stage waits, after a failure that may be temporary."""
        with self._lock:
            self._rows.setdefault(stage, _Tracked()).result = first_line(why)

    def finish(self, stage: str, outcome: StageOutcome, result: str = "") -> float | None:
        """Set the outcome of a stage and return how many seconds it took.

        None if it was not started, or if it continued the work of an interrupted process.
        """
        with self._lock:
            row = self._rows.setdefault(stage, _Tracked())
            row.state, row.result = outcome, result
            return None if row.is_resumed else row.seconds

    def finish_started(self, stage: str, outcome: StageOutcome, result: str = "") -> None:
        """Like `finish`, for a row that is shown only if it was started."""
        if stage in self.started():
            self.finish(stage, outcome, result)

    def running(self) -> list[str]:
        """The stages that run now."""
        with self._lock:
            return [stage for stage, row in self._rows.items() if row.state == "running"]

    def started(self) -> list[str]:
        """The stages that were started, which have a log file."""
        with self._lock:
            return [stage for stage, row in self._rows.items() if row.num_starts]

    def view(self) -> View:
        """The run now, with the events that stages have written since."""
        with self._lock:
            for stage, row in self._rows.items():
                self._read_events(stage, row)
            rows = tuple(self._row(stage, row) for stage, row in self._rows.items())
            left_s, unknown = self._time_left(rows)
            warnings = tuple(LoggedWarning(stage, text) for text, stage in self._warnings.items())
            return View(rows, self._clock() - self._began, left_s, unknown, warnings)

    def _read_events(self, stage: str, row: _Tracked) -> None:
        for event in row.events.read() if row.events else ():
            if isinstance(event, StageWarning):
                self._warnings.setdefault(event.text, stage)
                continue
            row.is_resumed |= event.num_before > 0
            before = row.latest[1] if row.latest else None
            row.latest = self._clock(), event
            if before is None or before.what != event.what or event.done < before.done:
                row.base = row.latest  # another piece of work, with a pace of its own

    def _row(self, stage: str, row: _Tracked) -> Row:
        is_running = row.state == "running"
        elapsed_s = self._clock() - row.started_at if is_running and row.started_at is not None else row.seconds
        return Row(
            stage,
            row.state,
            row.latest[1] if is_running and row.latest else None,
            row.result,
            elapsed_s,
            self._left_of(stage, row, elapsed_s or 0.0) if is_running else None,
        )

    def _left_of(self, stage: str, row: _Tracked, elapsed_s: float) -> float | None:
        """Seconds left in the current work at its pace; otherwise until the expected duration.

        None if there is no expected duration, or if it is exceeded.
        """
        if row.base and row.latest:
            (began, base), (at, latest) = row.base, row.latest
            if latest.total is not None and latest.done < latest.total:
                left_s = progress_left(latest.done - base.done, latest.total - latest.done, at - began)
                if left_s is not None:
                    return max(0.0, left_s - (self._clock() - at))
        ran = {s: r.seconds for s, r in self._rows.items() if r.state == "ran" and r.seconds is not None}
        expected = expected_duration(stage, self._plan.last_run, ran)
        return expected - elapsed_s if expected is not None and expected > elapsed_s else None

    def _time_left(self, rows: tuple[Row, ...]) -> tuple[float, tuple[str, ...]]:
        """Seconds until the end without the stages of unknown duration, and these stages."""
        this_run = {row.stage: row.elapsed_s for row in rows if row.state == "ran" and row.elapsed_s is not None}
        for row in rows:
            if row.state == "running" and row.elapsed_s is not None and row.left_s is not None:
                this_run[row.stage] = row.elapsed_s + row.left_s
        unfinished = {
            row.stage: row.left_s
            if row.state == "running"
            else expected_duration(row.stage, self._plan.last_run, this_run)
            for row in rows
            if row.state == "running" or (row.state == "waiting" and self._rows[row.stage].may_run)
        }
        known = {stage: left_s or 0.0 for stage, left_s in unfinished.items()}
        left_s = time_to_end(self._plan.upstream, known, self.running(), self._plan.most_jobs)
        return left_s, tuple(stage for stage, seconds in unfinished.items() if seconds is None)


_board: ContextVar[Board | None] = ContextVar("_board", default=None)


@contextmanager
def using(board: Board) -> Iterator[None]:
    """Let the flows of this context write to a board."""
    token = _board.set(board)
    try:
        yield
    finally:
        _board.reset(token)


def current_board() -> Board:
    """The board of this context; a new one, which no console shows, if `using` set none."""
    board = _board.get()
    if board is None:
        board = Board()
        _board.set(board)
    return board
