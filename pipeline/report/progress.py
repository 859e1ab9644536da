"""How far a long piece of work is: a bar on a terminal, a log line now and then elsewhere.

A flow that started the process also gets it as events.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from pipeline.core.durations import duration_text
from pipeline.core.logs import is_terminal
from pipeline.core.stage_events import EventWriter, StageProgress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

logger = logging.getLogger(__name__)

LOG_EVERY_S = 5.0
"""Time in seconds before the first log line, and the shortest between two."""
_GROWS_AFTER_S = 20.0
_MOST_GROWTH = 12.0
"""The interval between two lines grows with the time that the work takes, up to this factor: a line a minute."""
BYTES = "bytes"
"""The unit that is shown as MB or GB."""
T = TypeVar("T")
_is_hidden = ContextVar("_is_hidden", default=False)


@contextmanager
def hidden_progress() -> Iterator[None]:
    """Show no progress in this block, for a part of work whose whole shows its own."""
    token = _is_hidden.set(True)
    try:
        yield
    finally:
        _is_hidden.reset(token)


class Progress(AbstractContextManager["Progress"]):
    """Counts what is done of ``total`` and shows it with the rate and the time left. Thread-safe.

    Without a terminal, work that takes less than 5 s logs nothing, and longer work that succeeds also logs its end.
    ``unit``: what is counted, in the plural. ``total``: None if unknown. It also counts as unknown once more than
    ``total`` are done.
    """

    def __init__(
        self, what: str, total: int | None, unit: str = "clips", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._total, self._unit, self._clock = what, total, unit, clock
        self._started = self._logged = clock()
        self._done = self._fresh = 0
        self._note = self._shown = ""
        self._lock = threading.Lock()
        self._bar: tuple[Bar, TaskID] | None = None
        self._events = EventWriter.of_environment()
        self._is_hidden = _is_hidden.get()

    def __enter__(self) -> Self:
        if not self._is_hidden and is_terminal(sys.stderr):
            self._bar = _start_bar(self._what, self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._report(self._clock(), is_last=True)
        if self._is_hidden:
            return
        if self._bar:
            self._bar[0].stop()
        elif self._fresh and error is None and self.seconds >= LOG_EVERY_S and (text := self.describe()) != self._shown:
            logger.info("%s: %s", self._what, text)

    def add(self, count: int = 1, *, is_fresh: bool = True, note: str | None = None) -> None:
        """``count`` more are done (fewer if negative); only fresh ones count for the rate.

        ``note``: shown between the count and the rate from now on; None leaves it as it is.
        """
        with self._lock:
            self._done += count
            self._fresh += count if is_fresh else 0
            self._note = self._note if note is None else note
            now = self._clock()
            self._report(now)
            if self._bar:
                bar, task = self._bar
                bar.update(task, completed=self._done, total=self._known_total, text=self._text(now))
                return
            if self._is_hidden or now - self._logged < self._pause(now):
                return
            self._logged, self._shown = now, self._text(now)
            text = self._shown
        logger.info("%s: %s", self._what, text)

    @property
    def seconds(self) -> float:
        """Since the start, above 0."""
        return max(self._clock() - self._started, 1e-9)

    def describe(self) -> str:
        """Such as ``60 of 100 clips, 60%, 4 rejected, 2.0 clips/s, about 0:20 left``."""
        with self._lock:
            return self._text(self._clock())

    @property
    def _known_total(self) -> int | None:
        return None if self._total is None or self._done > self._total else self._total

    def _text(self, now: float) -> str:
        parts = [self._count(), self._note, self._rate_text(now)]
        if self._fresh > 0 and (total := self._known_total) is not None and self._done < total:
            parts.append(f"about {duration_text((total - self._done) / self._rate(now))} left")
            parts.insert(1, f"{100 * self._done // total}%")
        return ", ".join(filter(None, parts))

    def _rate(self, now: float) -> float:
        return self._fresh / max(now - self._started, 1e-9)

    def _rate_text(self, now: float) -> str:
        if self._fresh <= 0:
            return ""
        rate = self._rate(now)
        return f"{rate / 1e6:.1f} MB/s" if self._unit == BYTES else f"{rate:.1f} {self._unit}/s"

    def _pause(self, now: float) -> float:
        """Seconds between two log lines: the longer the work takes, the more."""
        return LOG_EVERY_S * min(max(1.0, (now - self._started) / _GROWS_AFTER_S), _MOST_GROWTH)

    def _report(self, now: float, *, is_last: bool = False) -> None:
        if self._events.is_on and not self._is_hidden:
            num_before = self._done - self._fresh
            event = StageProgress(self._what, self._done, self._known_total, self._rate_text(now), num_before)
            self._events.progress(event, is_last=is_last)

    def _count(self) -> str:
        done, total = self._done, self._known_total
        if self._unit == BYTES:
            return _size(done) if total is None else f"{_size(done)} of {_size(total)}"
        return f"{done} {self._unit}" if total is None else f"{done} of {total} {self._unit}"


def tracked(items: Iterable[T], what: str, total: int | None, unit: str = "clips") -> Iterator[T]:
    """Yield the items. Each is counted when the caller requests the next one."""
    with Progress(what, total, unit) as progress:
        for item in items:
            yield item
            progress.add()


def _start_bar(what: str, total: int | None) -> tuple[Bar, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(TextColumn(what), BarColumn(), TextColumn("{task.fields[text]}"), console=Console(stderr=True))
    task = bar.add_task(what, total=total, text="")
    bar.start()
    return bar, task


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"
