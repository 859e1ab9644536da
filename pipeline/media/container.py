"""Opens media files with FFmpeg (PyAV) and decodes them, tolerating single damaged packets.

Do not use a stream object after its container is closed: PyAV then crashes the interpreter.
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

# FFmpeg's default colour conversion rounds down: one round trip darkens a frame by two grey levels.
EXACT_COLOUR = (
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

MAX_PAUSE_S = 600
"""Longest allowed gap between two frames of a stream, s. A longer gap means a damaged timestamp."""
MAX_STEP_BACK_S = 1
"""Largest backward step of timestamps that is tolerated, s. A larger step means that another recording begins."""
_ATTACHED_PICTURE = 0x0400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not video
_MAX_DAMAGED_SHARE = 0.1
_MIN_PRESENT_SHARE = 0.8  # of the duration stated in the header
_MIN_ESTIMATE_SHARE = 0.99  # the estimate leaves out the header

VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ogv"),
        *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp"),  # the last four: television, camcorders, old phones
        *(".avi", ".wmv", ".flv"),
    }
)
"""Suffixes of the files that a search of a folder treats as videos."""


def is_hidden(name: str) -> bool:
    """Whether any part of a path, written with ``/``, begins with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


@contextmanager
def open_container(file: BinaryIO, path: Path) -> Iterator[Any]:
    """Open a PyAV container on the open ``file``, starting at its first byte; closes the container, not ``file``.

    Each container has its own read position. FFmpeg opens nothing itself: neither network addresses nor the files named
    in a playlist. Raises CorruptMediaError with ``path`` in its message.
    """
    try:
        container = av.open(_Reader(file, path), metadata_errors="ignore", container_options={"protocol_whitelist": ""})
    except av.error.FFmpegError as error:
        raise CorruptMediaError(path, f"cannot be opened: {error.strerror or error}") from error
    try:
        if not container.streams.video and not container.streams.audio:
            raise CorruptMediaError(path, "has neither video nor audio: it is cut off, or not a media file")
        yield container
    except av.error.FFmpegError as error:
        raise CorruptMediaError(path, f"reading failed: {error}") from error
    finally:
        container.close()


class _Reader:
    """A file object for PyAV: an independent read position in a file that the caller opened."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.name = str(path.absolute())
        """FFmpeg also uses the suffix to detect the format."""
        self._file = file
        self._position = 0

    def read(self, num_bytes: int) -> bytes:
        content = os.pread(self._file.fileno(), num_bytes, self._position)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Like lseek(2): returns the new position, or a negative error number, which FFmpeg expects, if invalid."""
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}
        start = starts[whence] if whence in starts else os.fstat(self._file.fileno()).st_size
        if start + offset < 0:
            return -errno.EINVAL
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position


def as_fps(fps: float | Fraction) -> Fraction:
    """A frame rate as an exact fraction: 25.0 becomes 25, 29.97 becomes 2997/100. Raises ValueError unless positive."""
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


def start_of(stream: Any) -> Fraction | None:
    """Start time of the stream on the container's clock, s; None if the file does not state it."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return Fraction(stream.start_time) * Fraction(stream.time_base)


def refuse_step_back(path: Path, kind: str, step_back_s: float | Fraction) -> None:
    """Raises CorruptMediaError if timestamps step back by more than ``MAX_STEP_BACK_S``."""
    if step_back_s > MAX_STEP_BACK_S:
        raise CorruptMediaError(
            path,
            f"its {kind} timestamps step back by {float(step_back_s):.1f} s, at most {MAX_STEP_BACK_S} s is allowed: "
            "the file is damaged, or several recordings were joined without remuxing",
        )


def demux(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Yields the stream's packets in stored order. Raises CorruptMediaError if reading fails."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            raise CorruptMediaError(path, f"reading failed: {error}") from error
        except IndexError:  # PyAV raises it at the end of a file if a stream appeared after opening
            return
        if packet is None:
            return
        yield packet


def decode(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Yields the stream's frames in presentation order, decoded on one thread, which is faster for small frames.

    Packets that cannot be decoded are skipped with a warning. They leave a gap, because callers position frames by
    timestamp. Raises CorruptMediaError for an unknown codec, if no frame or less than 90 % of the packets can be
    decoded, or if the file ends before 80 % of the duration in its header.
    """
    if stream.codec_context is None:
        raise CorruptMediaError(path, f"its {stream.type} stream has an unknown codec")
    stream.codec_context.thread_type = "SLICE"
    stream.codec_context.thread_count = 1
    has_stated_length = stream.duration and not _may_be_estimated(container, stream)
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
        raise CorruptMediaError(path, f"none of its {kind} frames can be decoded")
    if num_damaged > _MAX_DAMAGED_SHARE * num_packets:
        raise CorruptMediaError(path, f"{num_damaged} of {num_packets} {kind} packets are damaged")
    if has_stated_length and end - start < _MIN_PRESENT_SHARE * stream.duration:
        seconds = (float(ticks * stream.time_base) for ticks in (end - start, stream.duration))
        raise CorruptMediaError(path, "its {} is cut off after {:.2f} of {:.2f} s".format(kind, *seconds))
    if num_damaged:
        log.warning("%s: skipped %d of %d %s packets", path, num_damaged, num_packets, kind)


def _may_be_estimated(container: Any, stream: Any) -> bool:
    """Whether FFmpeg may have computed the length of the only stream from the file's size and its first packets.

    It does so for MP3, AAC and other formats whose header need not state a length. Silence at the start makes the
    estimate far too long. A file that is cut off is smaller than its stated length and bit rate require.
    """
    others = [other for other in container.streams if not int(other.disposition) & _ATTACHED_PICTURE]
    if stream.type != "audio" or len(others) > 1 or not stream.codec_context.bit_rate:
        return False
    stated_bits = stream.codec_context.bit_rate * float(stream.duration * stream.time_base)
    return bool(8 * container.size >= _MIN_ESTIMATE_SHARE * stated_bits)
