"""Finds interlaced video whose frames are not flagged as interlaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import av.error

from pipeline.media.deinterlace import TimedPicture
from pipeline.media.filter_graph import format_of, graph_for

MAX_JUDGED = 250
"""Number of frames at the start of a video that are judged."""
MIN_COMBED, MIN_SHARE = 15, 0.6
"""Least number of combed frames with one field order, and their least share of the judged frames.

Of 755 progressive clips of GRID's speakers none has three combed frames; of interlaced clips made from them, three
quarters of the frames are combed.
"""
THRESHOLD = "1.25"
"""Least ratio of the differences between the fields. FFmpeg's 1.04 classifies whole progressive clips as
interlaced."""
_NOTE = (
    "its frames look interlaced, but are not flagged as such; moving edges have combs: deinterlace the file beforehand"
)


class CombNotes:
    """Calls ``note`` if the pictures of a file look interlaced, but are not flagged (FFmpeg's idet).

    One pass over the file is judged; later ones only if no pass before was judged to its end.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note, self._is_done = note, False

    def watch(self, timed: Iterable[TimedPicture]) -> Iterator[TimedPicture]:
        """Yields the same pictures."""
        judge: _Judge | None = None
        for number, picture in enumerate(timed):
            frame = picture[2]
            self._is_done |= number >= MAX_JUDGED
            if not self._is_done and not frame.interlaced_frame and _is_judged(frame):
                if judge is None or not judge.takes(frame):
                    judge = _Judge(frame)
                if judge.is_combed_with(frame):
                    self._note(_NOTE)
                    self._is_done = True
            yield picture
        self._is_done = True


def _is_judged(frame: Any) -> bool:
    return frame.format.is_planar and not frame.format.is_rgb and not frame.format.has_palette


class _Judge:
    """FFmpeg's idet for frames of one size and format."""

    def __init__(self, first: Any) -> None:
        self._format = format_of(first)
        self._counts: Counter[str] = Counter()
        self._graph = graph_for(first, "idet", intl_thres=THRESHOLD)

    def takes(self, frame: Any) -> bool:
        return format_of(frame) == self._format

    def is_combed_with(self, frame: Any) -> bool:
        """Whether the frames until now, with this one, look interlaced."""
        self._graph.push(frame)
        try:
            while True:
                self._counts[self._graph.pull().metadata["lavfi.idet.multiple.current_frame"]] += 1
        except (BlockingIOError, av.error.EOFError):
            pass
        num_combed = max(self._counts["tff"], self._counts["bff"])
        num_judged = self._counts["tff"] + self._counts["bff"] + self._counts["progressive"]
        return num_combed >= max(MIN_COMBED, MIN_SHARE * num_judged)
