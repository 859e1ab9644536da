"""When the frames of a dub are shown: at a constant rate, or each at its own time.

A frame of the source keeps its time. Of frames with equal times, the later ones are spread over the time until the next
one. In a long pause of the pictures the last frame is repeated, so that its mouth still moves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.option_values import Fill
from pipeline.dubbing.playback import runs, source_indices
from pipeline.media.frame_times import FrameTimes, increasing_times
from pipeline.media.video import FrameImage, TimedFrame

TOLERANCE_S = 0.002
"""Largest difference from a constant rate that counts as rounding: containers round to milliseconds."""
PAUSE_S = 0.25
"""A frame that is shown for longer than this is repeated at the usual rate."""
WINDOW_RATE_HZ = 1000
"""Rate at which the audio windows of frames at any time are numbered."""


class SourceTiming:
    """Records the times of a video's frames while they are read. ``fps`` is the rate that its file states.

    ``wanted_s`` is the length of the output; None if it is the video's.
    """

    def __init__(self, fps: Fraction, wanted_s: Fraction | None) -> None:
        self._fps, self._wanted_s = fps, wanted_s
        self._starts_s: list[float] = []
        self._end_s = 0.0
        self._is_constant = True
        self.is_read_to_end = False
        """Whether the last reading ended with the video's last frame."""

    @property
    def num_wanted(self) -> int | None:
        """Number of frames of the output at a constant rate; None if it is the video's."""
        return None if self._wanted_s is None else max(1, round(self._wanted_s * self._fps))

    def read(self, frames: Iterable[TimedFrame[FrameImage]], *, to_end: bool = False) -> Iterator[FrameImage]:
        """The images of the video's frames from the first one, until the output ends or (``to_end``) all of them."""
        self._starts_s, self._end_s, self._is_constant, self.is_read_to_end = [], 0.0, True, False
        for index, frame in enumerate(frames):
            self._is_constant &= abs(frame.time_s - index / float(self._fps)) <= TOLERANCE_S
            if not to_end and self._is_over(index, frame.time_s):
                self._end_s = frame.time_s
                return
            self._starts_s.append(frame.time_s)
            self._end_s = frame.end_s
            yield frame.image
        self.is_read_to_end = True

    def _is_over(self, index: int, time_s: float) -> bool:
        if self._wanted_s is None or index == 0:
            return False
        if self._is_constant:
            return index >= (self.num_wanted or 0)
        return time_s + 0.5 / float(self._fps) > self._wanted_s

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Times of the frames that were read, and the end of the last one: float64 [N + 1], seconds."""
        return np.append(self._starts_s, self._end_s)

    def frame_at(self, time_s: float) -> int:
        """The first frame that was read whose middle is not before ``time_s``; their number if there is none."""
        middles_s = np.array(self._starts_s) + 0.5 / float(self._fps)
        return int(np.searchsorted(middles_s, time_s - 1e-9))

    def output(self, fill: Fill) -> OutputTiming:
        """The timing of the output. Reads no frame; all frames that are shown must have been read."""
        if self._is_constant:
            num_shown = len(self._starts_s) if self.num_wanted is None else self.num_wanted
            return OutputTiming(self._fps, num_shown)
        starts_s = increasing_times(np.array(self._starts_s), self._end_s)
        starts_s[0] = 0.0  # the first frame fills what is missing before it
        return _at_own_times(starts_s, self._end_s, None if self._wanted_s is None else float(self._wanted_s), fill)


class OutputTiming:
    """Which frames an output shows, and when.

    ``num_plays`` frames of the source are played; ``repeats: int [num_plays]`` is how often each is shown, by default
    once. ``times`` are those of all shown frames; None at the constant rate ``fps``, which otherwise is the usual one.
    """

    def __init__(
        self,
        fps: Fraction,
        num_plays: int,
        repeats: NDArray[np.int64] | None = None,
        times: FrameTimes | None = None,
    ) -> None:
        self.fps, self.num_plays, self._repeats, self.times = fps, num_plays, repeats, times

    @property
    def num_frames(self) -> int:
        """Number of shown frames."""
        return self.num_plays if self.times is None else len(self.times)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Times of the shown frames, and the end of the last one, in seconds: float64 [num_frames + 1]."""
        if self.times is None:
            return np.arange(self.num_plays + 1) / float(self.fps)
        return np.append(self.times.starts_s, self.times.end_s)

    @property
    def mean_fps(self) -> Fraction:
        return self.fps if self.times is None else self.times.mean_fps

    def shown(self, played: Iterable[tuple[int, FrameImage]]) -> Iterator[tuple[int, FrameImage]]:
        """The stream of played frames, each as often as it is shown."""
        if self._repeats is None:
            yield from played
            return
        for (source, frame), number in zip(played, self._repeats, strict=True):
            for _ in range(number):
                yield source, frame

    def sources(self, num_source: int, fill: Fill) -> NDArray[np.int64]:
        """The source frame of each shown frame, of a video of ``num_source`` frames: int64 [num_frames]."""
        played = source_indices(num_source, self.num_plays, fill)
        return played if self._repeats is None else np.repeat(played, self._repeats)

    def windows_at(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
        """Frame indices and frame rate for the audio windows of the shown frames at ``places``."""
        if self.times is None:
            return places, float(self.fps)
        middles_s = self.times.starts_s[places] + 0.5 / float(self.fps)
        return np.rint(middles_s * WINDOW_RATE_HZ - 0.5).astype(np.int64), float(WINDOW_RATE_HZ)


def _at_own_times(starts_s: NDArray[np.float64], end_s: float, wanted_s: float | None, fill: Fill) -> OutputTiming:
    """``starts_s: float64 [N]`` are the increasing times of the source's frames; ``wanted_s`` as in SourceTiming."""
    holds_s = np.diff(starts_s, append=end_s)
    usual_s = float(np.median(holds_s))
    shown_s: list[float] = []
    repeats: list[int] = []
    now_s = 0.0
    limit_s = np.inf if wanted_s is None else wanted_s - usual_s / 2
    for hold_s in _holds(holds_s, wanted_s, fill):
        if shown_s and now_s > limit_s:
            break
        until_s = min(now_s + hold_s, end_s if wanted_s is None else wanted_s)
        hold_s, begin_s = until_s - now_s if until_s > now_s else hold_s, now_s
        num = max(1, round(hold_s / usual_s)) if hold_s > max(PAUSE_S, 2 * usual_s) else 1
        shown_s += [begin_s + k * usual_s for k in range(num)]
        repeats.append(num)
        now_s += hold_s
    stop_s = now_s if wanted_s is None else wanted_s
    times = FrameTimes(np.array(shown_s), max(stop_s, shown_s[-1] + 1e-3))
    return OutputTiming(Fraction(1 / usual_s).limit_denominator(1000), len(repeats), np.array(repeats), times)


def _holds(holds_s: NDArray[np.float64], wanted_s: float | None, fill: Fill) -> Iterator[float]:
    """How long each played frame is shown, s: endlessly if ``wanted_s`` is given, else each source frame once."""
    if wanted_s is None:
        yield from holds_s
        return
    for source in itertools.chain.from_iterable(runs(len(holds_s), 1 << 62, fill)):
        yield float(holds_s[source])
