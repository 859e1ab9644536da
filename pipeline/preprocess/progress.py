"""How far the build is: a bar on a terminal, a log line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.preprocess.plan import ShardResult

log = logging.getLogger(__name__)

LOG_EVERY_S = 5.0


class BuildProgress(AbstractContextManager["BuildProgress"]):
    """Counts source clips, rejects and frames of finished shards and shows rates and the time left."""

    def __init__(self, num_clips: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._num_clips, self._clock = num_clips, clock
        self._started = self._logged = clock()
        self._done = self._computed = self._rejected = self._frames = 0
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("preprocess"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rates]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("preprocess", total=num_clips, rates="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def add(self, result: ShardResult, num_clips: int, *, was_reused: bool) -> None:
        """Account for one finished shard of ``num_clips`` source clips; reused ones do not count for the rate."""
        self._done += num_clips
        self._rejected += len(result.rejects)
        if not was_reused:
            self._computed += num_clips
            self._frames += sum(row.num_frames for row in result.rows)
        if self._bar:
            self._bar.update(self._task, completed=self._done, rates=self.rates)
            return
        now = self._clock()
        if now - self._logged >= LOG_EVERY_S or self._done == self._num_clips:
            self._logged = now
            log.info("%d of %d clips, %s", self._done, self._num_clips, self.describe())

    @property
    def rates(self) -> str:
        seconds = max(self._clock() - self._started, 1e-9)
        return (
            f"{self._rejected} rejected, {self._computed / seconds:.1f} clips/s, {self._frames / seconds:.0f} frames/s"
        )

    def describe(self) -> str:
        """Rates and, unless all is done, the time left."""
        left = self._num_clips - self._done
        if not left or not self._computed:
            return self.rates
        eta_s = left * (self._clock() - self._started) / self._computed
        return f"{self.rates}, about {int(eta_s) // 60}:{int(eta_s) % 60:02d} left"
