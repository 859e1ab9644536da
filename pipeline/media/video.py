"""Video: decodes any stream to BGR frames at a given frame rate."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from pipeline.media.container import (
    EXACT_COLOUR,
    MAX_PAUSE_S,
    as_fps,
    decode,
    demux,
    find_video_stream,
    refuse_step_back,
    start_of,
)
from pipeline.media.errors import CorruptMediaError, NoVideoError

FrameArray = NDArray[np.uint8]

_FALLBACK_FPS = Fraction(25)
_MAX_HEADER_FPS = 240
"""A higher rate is the timestamp clock, not the frame rate. Recordings made in browsers state only the clock."""
_MEASURED_FRAMES = 250
_HD_WIDTH, _PAL_HEIGHT = 1280, 576
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_LEAST_STRETCH = Fraction(1, 100)
_MOST_STRETCH = 4
"""Range of pixel aspect ratios that are applied: less is encoder rounding, more is a damaged header."""
_MAX_REORDERED = 16
"""Largest number of frames that a decoder delays for reordering (H.264)."""


class TimedFrame(NamedTuple):
    """One frame: seconds since the start of the video stream, and ``uint8 [H, W, 3]`` BGR."""

    time_s: float
    image: FrameArray


def iter_frames(
    container: Any, path: Path, source_fps: Fraction, fps: float | Fraction | None, *, square_pixels: bool
) -> Iterator[TimedFrame]:
    """Frames of a fresh container, see ``MediaFile.frames``; ``source_fps`` is the file's own rate."""
    step = None if fps is None else 1 / as_fps(fps)
    stream = find_video_stream(container)
    if stream is None:
        raise NoVideoError(path)
    to_bgr = _BgrConverter(Fraction(stream.sample_aspect_ratio or 1) if square_pixels else Fraction(1))
    timed = _timed(container, stream, path, 1 / source_fps)
    if step is None:
        for time, _, frame in timed:
            yield TimedFrame(float(time), to_bgr(frame))
        return
    held: Any = None
    held_time = held_end = Fraction(0)
    num_yielded = 0
    for time, end, frame in timed:
        if held is not None:
            until = (held_time + time) / 2
            due = until // step + 1  # outputs at 0, step, ... up to and with `until`
            yield from _repeat(to_bgr, held, num_yielded, int(due), step)
            num_yielded = max(num_yielded, int(due))
        held, held_time, held_end = frame, time, end
    total = max(1, round(held_end / step))
    yield from _repeat(to_bgr, held, num_yielded, total, step)


def _timed(container: Any, stream: Any, path: Path, spacing: Fraction) -> Iterator[tuple[Fraction, Fraction, Any]]:
    """Yields (start, end, frame) with non-decreasing times in s since the start of the stream.

    ``spacing`` is the frame interval in s; it replaces missing timestamps and durations.
    """
    origin = start_of(stream)
    time_base = Fraction(stream.time_base)
    # AVI numbers frames in coding order, which B-frames change. FFmpeg's pts are then estimates.
    is_numbered_as_coded = container.format.name == "avi"
    previous: Fraction | None = None
    for frame in decode(container, stream, path):
        ticks = frame.dts if is_numbered_as_coded else frame.pts
        if ticks is None:
            time = Fraction(0) if previous is None else previous + spacing
        else:
            stamp = ticks * time_base
            is_first_held_back = is_numbered_as_coded and previous is None
            if origin is None or (is_first_held_back and stamp - origin <= _MAX_REORDERED * spacing):
                origin = stamp
            time = stamp - origin
            if previous is not None:
                refuse_step_back(path, "video", previous - time)
                time = max(time, previous)
        if time - (previous or 0) > MAX_PAUSE_S:
            gap_s = float(time - (previous or 0))
            raise CorruptMediaError(path, f"its video has a gap of {gap_s:.0f} s; at most {MAX_PAUSE_S} s is allowed")
        duration = (frame.duration or 0) * time_base
        yield time, time + (duration or spacing), frame
        previous = time


def frame_rate_of(container: Any, stream: Any, path: Path) -> Fraction:
    """Frames per second of a fresh container's video stream; may read packets from it. Raises CorruptMediaError."""
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        return _FALLBACK_FPS
    return Fraction(rate) if rate <= _MAX_HEADER_FPS else _measured_rate(container, stream, path)


def _measured_rate(container: Any, stream: Any, path: Path) -> Fraction:
    """Frames per second from the first timestamps of the stream, rounded to an integer."""
    packets = itertools.islice(demux(container, stream, path), _MEASURED_FRAMES)
    stamps = [packet.pts for packet in packets if packet.pts is not None]
    if len(stamps) < 2 or max(stamps) == min(stamps):
        return _FALLBACK_FPS
    spacing = (max(stamps) - min(stamps)) * Fraction(stream.time_base) / (len(stamps) - 1)
    return Fraction(max(1, round(1 / spacing)))


def _repeat(to_bgr: _BgrConverter, frame: Any, start: int, stop: int, step: Fraction) -> Iterator[TimedFrame]:
    """Yields the frame as outputs start..stop-1. Converts it once; each output has its own memory."""
    if start >= stop:
        return
    image = to_bgr(frame)
    for index in range(start, stop):
        yield TimedFrame(float(index * step), image if index == stop - 1 else image.copy())


class _BgrConverter:
    """Converts decoded frames to upright ``uint8 [H, W, 3]`` BGR at the size of the first one.

    One instance keeps FFmpeg's conversion tables. Frames without a colour space are treated as players do: BT.709 above
    PAL size, else BT.601. FFmpeg assumes BT.601 for every size.
    """

    def __init__(self, pixel_aspect: Fraction) -> None:
        self._pixel_aspect = pixel_aspect
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> FrameArray:
        self._size = self._size or _stretched(frame.width, frame.height, self._pixel_aspect)
        is_guessed = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
        is_large = frame.width >= _HD_WIDTH or frame.height > _PAL_HEIGHT
        image = self._reformatter.reformat(
            frame,
            width=self._size[0],
            height=self._size[1],
            format="bgr24",
            src_colorspace=Colorspace.ITU709 if is_guessed and is_large else None,
            interpolation=EXACT_COLOUR,
            threads=1,
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, quarter_turns(frame)))


def _stretched(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Width and height in square pixels: the shorter side of a pixel is stretched."""
    is_slight = abs(pixel_aspect - 1) <= _LEAST_STRETCH
    if is_slight or not Fraction(1, _MOST_STRETCH) <= pixel_aspect <= _MOST_STRETCH:
        return width, height
    return (round(width * pixel_aspect), height) if pixel_aspect > 1 else (width, round(height / pixel_aspect))


def quarter_turns(frame: Any) -> int:
    """Counter-clockwise quarter turns, 0..3, that make the frame upright."""
    return round(frame.rotation / 90) % 4
