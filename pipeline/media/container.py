"""Opening media files with FFmpeg (PyAV), and decoding that survives single damaged packets.

A stream object must not be touched after its container is closed: PyAV then crashes the interpreter.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import av
import av.error
from av.video.reformatter import Interpolation

from pipeline.media.errors import CorruptMediaError

log = logging.getLogger(__name__)

# FFmpeg's default colour conversion rounds down: two grey levels darker after one round trip.
EXACT_COLOUR = (
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

MAX_PAUSE_S = 600
"""Longest pause between two pictures or two sounds; a longer one is a damaged time stamp."""
MAX_STEP_BACK_S = 1
"""Disorder of time stamps up to here is bridged; where they go back further, another recording begins."""
_ATTACHED_PICTURE = 0x0400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not video
_MAX_DAMAGED_SHARE = 0.1
_MIN_PRESENT_SHARE = 0.8  # of the length that the header promises
_WITHOUT_LENGTH = frozenset({"aac", "ac3", "eac3"})
"""Formats without such a header: FFmpeg guesses a length from the first blocks, many times too long after silence."""

VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ogv"),
        *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp"),  # the last four: television, camcorders, older telephones
        *(".avi", ".wmv", ".flv"),
    }
)
"""What is taken for a video where a folder is searched."""


def is_hidden(name: str) -> bool:
    """Whether a path, written with ``/``, or a folder on it begins with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


@contextmanager
def open_container(file: BinaryIO, path: Path) -> Iterator[Any]:
    """A PyAV container that reads the open ``file`` from its first byte, closed on exit; ``file`` stays open.

    Each container has its own place in the file. FFmpeg opens nothing by itself: no network, and none of the files that
    a playlist names. Raises CorruptMediaError, naming ``path``.
    """
    try:
        container = av.open(_Reader(file, path), metadata_errors="ignore", container_options={"protocol_whitelist": ""})
    except av.error.FFmpegError as error:
        raise CorruptMediaError(path, f"cannot be opened: {error.strerror or error}") from error
    try:
        if not container.streams.video and not container.streams.audio:
            raise CorruptMediaError(path, "holds neither picture nor sound: cut off, or not a media file")
        yield container
    except av.error.FFmpegError as error:
        raise CorruptMediaError(path, f"cannot be read on: {error}") from error
    finally:
        container.close()


class _Reader:
    """What PyAV needs of a file object: a place of its own in a file that is open elsewhere."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.name = str(path.absolute())
        """FFmpeg guesses the format by the ending, too."""
        self._file = file
        self._position = 0

    def read(self, num_bytes: int) -> bytes:
        content = os.pread(self._file.fileno(), num_bytes, self._position)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As lseek(2) for FFmpeg: the new place, or a negative error number where there is none."""
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}
        start = starts[whence] if whence in starts else os.fstat(self._file.fileno()).st_size
        if start + offset < 0:
            return -errno.EINVAL
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position


def as_fps(fps: float | Fraction) -> Fraction:
    """A frame rate as an exact fraction: 25.0 is 25, 29.97 is 2997/100. Raises ValueError unless positive."""
    fraction = Fraction(fps).limit_denominator(100_000)
    if fraction <= 0:
        raise ValueError(f"fps must be positive, got {fps}")
    return fraction


def find_video_stream(container: Any) -> Any | None:
    """The first video stream that is not cover art, or None."""
    for stream in container.streams.video:
        if not int(stream.disposition) & _ATTACHED_PICTURE:
            return stream
    return None


def find_audio_stream(container: Any) -> Any | None:
    """The first audio stream, or None."""
    streams = container.streams.audio
    return streams[0] if streams else None


def start_of(stream: Any) -> Fraction | None:
    """When the stream begins on the container's clock, s; None where the file does not say."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return Fraction(stream.start_time) * Fraction(stream.time_base)


def refuse_step_back(path: Path, kind: str, step_back_s: float | Fraction) -> None:
    """Raises CorruptMediaError where time stamps go back by more than disorder explains: what follows has no place."""
    if step_back_s > MAX_STEP_BACK_S:
        raise CorruptMediaError(
            path, f"its {kind} goes back by {float(step_back_s):.1f} s: recordings joined byte by byte, or damage"
        )


def demux(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """The stream's packets as they are stored. Raises CorruptMediaError where the file cannot be read on."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            raise CorruptMediaError(path, f"cannot be read on: {error}") from error
        except IndexError:  # PyAV's end of a file in which another stream has begun since it was opened
            return
        if packet is None:
            return
        yield packet


def decode(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """The stream's frames in presentation order, on one thread (small frames decode faster so).

    A packet that cannot be decoded is skipped with a warning, its time stays empty: the callers
    place frames by their time stamps. Raises CorruptMediaError for an unknown codec, if no frame or less than 90 % of
    the packets can be decoded, or if the file ends before 80 % of the length its header promises.
    """
    if stream.codec_context is None:
        raise CorruptMediaError(path, f"its {stream.type} is in no known format")
    stream.codec_context.thread_type = "SLICE"
    stream.codec_context.thread_count = 1
    num_packets = num_damaged = num_frames = 0
    start, end = stream.start_time or 0, 0
    for packet in demux(container, stream, path):
        num_packets += 1
        if packet.pts is not None:
            end = max(end, packet.pts + (packet.duration or 0))
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            num_damaged += 1
            continue
        for frame in frames:
            num_frames += 1
            yield frame
    kind = stream.type
    if num_frames == 0:
        raise CorruptMediaError(path, f"its {kind} stream has no decodable frame")
    if num_damaged > _MAX_DAMAGED_SHARE * num_packets:
        raise CorruptMediaError(path, f"{num_damaged} of {num_packets} {kind} packets are damaged")
    is_promised = stream.duration and container.format.name not in _WITHOUT_LENGTH
    if is_promised and end - start < _MIN_PRESENT_SHARE * stream.duration:
        seconds = (float(ticks * stream.time_base) for ticks in (end - start, stream.duration))
        raise CorruptMediaError(path, "its {} is cut off after {:.2f} of {:.2f} s".format(kind, *seconds))
    if num_damaged:
        log.warning("%s: skipped %d of %d %s packets", path, num_damaged, num_packets, kind)
