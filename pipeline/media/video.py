"""Video: decodes any stream to BGR frames at a given frame rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pipeline.media.colour import BgrConverter, FrameArray
from pipeline.media.combing import CombNotes
from pipeline.media.container import (
    MAX_PAUSE_S,
    as_fps,
    decode,
    demux,
    find_video_stream,
    refuse_step_back,
    start_of,
)
from pipeline.media.deinterlace import TimedPicture, deinterlaced
from pipeline.media.errors import CorruptMediaError, NoVideoError
from pipeline.media.picture import StoredPicture

_FALLBACK_FPS = Fraction(25)
_MAX_HEADER_FPS = 240
"""A higher rate is the timestamp clock, not the frame rate. Recordings made in browsers state only the clock."""
_MEASURED_FRAMES = 250
_MAX_REORDERED = 16
"""Largest number of frames that a decoder delays for reordering (H.264)."""


FrameImage = TypeVar("FrameImage")


class TimedFrame(NamedTuple, Generic[FrameImage]):
    """One frame: its start and end in seconds since the start of the video stream, and its image.

    ``end_s`` is what the file states: the next frame may start earlier or later.
    """

    time_s: float
    end_s: float
    image: FrameImage


def iter_stored(
    container: Any, path: Path, source_fps: Fraction, note: Callable[[str], None], combs: CombNotes
) -> Iterator[TimedFrame[StoredPicture]]:
    """All frames of a fresh container, as they are stored where that is possible, see ``MediaFile.stored_frames``."""
    stream = require_video_stream(container, path)
    convert = BgrConverter(Fraction(1), note)
    for time, end, frame in _prepared(container, stream, path, source_fps, note, combs):
        yield TimedFrame(float(time), float(end), convert.stored(frame))


def iter_frames(
    container: Any,
    path: Path,
    source_fps: Fraction,
    fps: float | Fraction | None,
    note: Callable[[str], None],
    combs: CombNotes,
    *,
    square_pixels: bool,
) -> Iterator[TimedFrame[FrameArray]]:
    """Frames of a fresh container, see ``MediaFile.frames``; ``source_fps`` is the file's own rate.

    ``note`` is called with a sentence about each conversion of the pictures; ``combs`` are those of the file.
    """
    step = None if fps is None else 1 / as_fps(fps)
    stream = require_video_stream(container, path)
    to_bgr = BgrConverter(Fraction(stream.sample_aspect_ratio or 1) if square_pixels else Fraction(1), note)
    timed = _prepared(container, stream, path, source_fps, note, combs)
    if step is None:
        for time, end, frame in timed:
            yield TimedFrame(float(time), float(end), to_bgr(frame))
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


def require_video_stream(container: Any, path: Path) -> Any:
    """The video stream of a container. Raises NoVideoError."""
    stream = find_video_stream(container)
    if stream is None:
        raise NoVideoError(path)
    return stream


def _prepared(
    container: Any, stream: Any, path: Path, source_fps: Fraction, note: Callable[[str], None], combs: CombNotes
) -> Iterator[TimedPicture]:
    """The decoded frames with their times, without interlacing."""
    return deinterlaced(combs.watch(_timed(container, stream, path, 1 / source_fps, note)), note)


def _timed(
    container: Any, stream: Any, path: Path, spacing: Fraction, note: Callable[[str], None]
) -> Iterator[TimedPicture]:
    """Yields (start, end, frame) with non-decreasing times in s since the start of the stream.

    ``spacing`` is the frame interval in s; it replaces missing timestamps and durations.
    """
    origin = start_of(stream)
    time_base = Fraction(stream.time_base)
    # AVI numbers frames in coding order, which B-frames change. FFmpeg's pts are then estimates.
    is_numbered_as_coded = container.format.name == "avi"
    previous: Fraction | None = None
    for frame in decode(container, stream, path, note):
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


def iter_packet_ends(container: Any, path: Path, source_fps: Fraction) -> Iterator[float]:
    """Ends of the packets of a fresh container's video, see ``MediaFile.packet_ends_s``."""
    stream = require_video_stream(container, path)
    origin, time_base, spacing = start_of(stream), Fraction(stream.time_base), 1 / source_fps
    end = Fraction(0)
    for packet in demux(container, stream, path):
        if not packet.size:  # the end of the file
            continue
        ticks = packet.dts if packet.pts is None else packet.pts
        start = end if ticks is None else ticks * time_base
        if origin is None:
            origin = start
        end = start + ((packet.duration or 0) * time_base or spacing)
        yield float(end - origin)


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


def _repeat(
    to_bgr: BgrConverter, frame: Any, start: int, stop: int, step: Fraction
) -> Iterator[TimedFrame[FrameArray]]:
    """Yields the frame as outputs start..stop-1. Converts it once; each output has its own memory."""
    if start >= stop:
        return
    image = to_bgr(frame)
    for index in range(start, stop):
        yield TimedFrame(float(index * step), float((index + 1) * step), image if index == stop - 1 else image.copy())
