"""How far a transfer is: a bar on a terminal, a log line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

logger = logging.getLogger(__name__)

LOG_EVERY_S = 5.0


class ByteProgress(AbstractContextManager["ByteProgress"]):
    """Bytes done, MB/s of those that came just now, and the time left where the ``total`` is known. Thread-safe."""

    def __init__(self, what: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._started = self._logged = clock()
        self._done = self._fresh = 0
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn(what),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif self._fresh and error is None:
            logger.info("%s: %s", self._what, self.describe())

    def add(self, count: int, is_fresh: bool) -> None:
        """``count`` more bytes are done (fewer if negative); only fresh ones count for the rate."""
        with self._lock:
            self._done += count
            self._fresh += count if is_fresh else 0
            if self._bar:
                self._bar.update(self._task, completed=self._done)
                return
            now = self._clock()
            if now - self._logged < LOG_EVERY_S:
                return
            self._logged = now
            text = self.describe()
        logger.info("%s: %s", self._what, text)

    def describe(self) -> str:
        """Such as ``12.3 of 50.0 GB, 21.4 MB/s, about 29:22 left``."""
        seconds = max(self._clock() - self._started, 1e-9)
        rate = self._fresh / seconds
        speed = f"{rate / 1e6:.1f} MB/s"
        if self._total is None:
            return f"{_amount(self._done)}, {speed}"
        told = f"{_amount(self._done)} of {_amount(self._total)}, {speed}"
        left = self._total - self._done
        if left <= 0 or not rate:
            return told
        eta_s = int(left / rate)
        return f"{told}, about {eta_s // 60}:{eta_s % 60:02d} left"


def _amount(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"
