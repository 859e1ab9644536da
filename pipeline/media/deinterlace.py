"""Turns interlaced frames, whose even and odd rows show two moments, into progressive ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import av.error

from pipeline.media.filter_graph import CLOCK, format_of, graph_for

TimedPicture = tuple[Fraction, Fraction, Any]
"""Start and end of a decoded frame in s, and the frame."""


def deinterlaced(timed: Iterable[TimedPicture], note: Callable[[str], None]) -> Iterator[TimedPicture]:
    """Yields the same times with frames of which none is interlaced (FFmpeg's bwdif, one frame per frame).

    Only frames that their decoder flags as interlaced are changed. ``note`` is called if there are any.
    """
    filtering: _Filter | None = None
    for start, end, frame in timed:
        if filtering is not None and not filtering.takes(frame):
            yield from filtering.rest()
            filtering = None
        if filtering is None:
            if not frame.interlaced_frame:
                yield start, end, frame
                continue
            note("its interlaced frames are deinterlaced")
            filtering = _Filter(frame)
        yield from filtering.add(start, end, frame)
    if filtering is not None:
        yield from filtering.rest()


class _Filter:
    """bwdif for frames of one size and format. It returns one frame per frame, in order, one frame later."""

    def __init__(self, first: Any) -> None:
        self._format = format_of(first)
        self._times: deque[tuple[Fraction, Fraction]] = deque()
        self._num_added = 0
        self._graph = graph_for(first, "bwdif", mode="send_frame", deint="interlaced")

    def takes(self, frame: Any) -> bool:
        return format_of(frame) == self._format

    def add(self, start: Fraction, end: Fraction, frame: Any) -> Iterator[TimedPicture]:
        self._times.append((start, end))
        frame.pts, frame.time_base = self._num_added, CLOCK
        self._num_added += 1
        self._graph.push(frame)
        yield from self._finished()

    def rest(self) -> Iterator[TimedPicture]:
        self._graph.push(None)
        yield from self._finished()

    def _finished(self) -> Iterator[TimedPicture]:
        while self._times:
            try:
                picture = self._graph.pull()
            except (BlockingIOError, av.error.EOFError):
                return
            yield *self._times.popleft(), picture
