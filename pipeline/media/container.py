"""Opens media files with FFmpeg (PyAV) and decodes them, tolerating single damaged packets.

Do not use a stream object after its container is closed: PyAV then crashes the interpreter.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import av
import av.error
from av.video.reformatter import Interpolation

from pipeline.media.errors import CorruptMediaError, NotMediaError
from pipeline.media.formats import OWN_MEDIA

# FFmpeg's default colour conversion rounds down: one round trip darkens a frame by two grey levels.
EXACT_COLOUR = (
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

MAX_PAUSE_S = 600
"""Longest allowed gap between two frames of a stream, s. A longer gap means a damaged timestamp."""
MAX_STEP_BACK_S = 1
"""Largest backward step of timestamps that is tolerated, s. A larger step means that another recording begins."""
_ATTACHED_PICTURE = 0x0400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not video
_DEPENDENT = 0x80000  # AV_DISPOSITION_DEPENDENT: a part of a picture
_MAX_DAMAGED_SHARE = 0.1
MIN_PRESENT_SHARE = 0.8
"""Least share of the duration in the header that must be there."""
WHOLE_SHARE, _WHOLE_S = 0.97, 0.2
"""A file counts as cut off if both less than this share of its stated duration is there, and this much is missing."""
_MIN_ESTIMATE_SHARE = 0.99  # the estimate leaves out the header
_ONE_LENGTH = frozenset({"matroska,webm", "flv"})
_UNKNOWN_S = Fraction(0), Fraction(0)

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
def open_container(file: BinaryIO, path: Path, max_pixels: int | None = None) -> Iterator[Any]:
    """Open a PyAV container on the open ``file``, starting at its first byte; closes the container, not ``file``.

    Each container has its own read position. FFmpeg opens nothing itself: neither network addresses nor the files named
    in a playlist or by a pattern. ``max_pixels``: largest picture that it decodes while it opens the file; streams
    of larger ones have no size. Raises CorruptMediaError with ``path`` in its message.
    """
    try:
        container = _open(_Reader(file, "media" + path.suffix), max_pixels)
    except av.error.FFmpegError:
        try:  # FFmpeg takes a picture's name for the pattern of an image sequence
            container = _open(_Reader(file, "media"), max_pixels)
        except av.error.ArgumentError as error:  # not in OWN_MEDIA
            raise NotMediaError(
                path,
                "cannot be opened: it is damaged, a playlist or script that names other files, or in a format that is "
                "not read; convert it to MP4",
            ) from error
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            fault = "it is no media file, or is damaged" if os.fstat(file.fileno()).st_size else "it is empty"
            raise NotMediaError(path, f"cannot be opened: {fault}") from error
        except av.error.FFmpegError as error:
            raise NotMediaError(path, f"cannot be opened: {error.strerror or error}") from error
    try:
        if not container.streams.video and not container.streams.audio:
            raise NotMediaError(path, "has neither video nor audio: it is cut off, or not a media file")
        num_tiles = sum(int(stream.disposition) & _DEPENDENT > 0 for stream in container.streams.video)
        if num_tiles > 1:
            raise CorruptMediaError(path, f"its picture is stored in {num_tiles} tiles (HEIC); convert it to JPEG")
        yield container
    except av.error.FFmpegError as error:
        raise CorruptMediaError(path, f"reading failed: {error.strerror or error}") from error
    finally:
        container.close()


def _open(reader: _Reader, max_pixels: int | None) -> Any:
    own = {"protocol_whitelist": "", "format_whitelist": OWN_MEDIA}
    decoding = {} if max_pixels is None else {"max_pixels": str(max_pixels)}
    return av.open(reader, metadata_errors="ignore", options=decoding, container_options=own)


class _Reader:
    """A file object for PyAV: an independent read position in a file that the caller opened."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        """Only its suffix has a meaning: FFmpeg also uses it to detect the format."""
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
    """Yields the packets of a stream, or of all if it is None, in stored order. Raises CorruptMediaError."""
    packets = container.demux() if stream is None else container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            raise CorruptMediaError(path, f"reading failed: {error.strerror or error}") from error
        except IndexError:  # PyAV raises it at the end of a file if a stream appeared after opening
            return
        if packet is None:
            return
        yield packet


def decode(container: Any, stream: Any, path: Path, note: Callable[[str], None] | None = None) -> Iterator[Any]:
    """Yields the stream's frames in presentation order, decoded on one thread, which is faster for small frames.

    Packets that cannot be decoded are skipped. They leave a gap, because callers position frames by timestamp. ``note``
    is called if there are any, or if the file ends a little too early. Raises CorruptMediaError for an unknown codec or
    an empty stream, if less than 90 % of the packets can be decoded, or if the file ends before 80 % of its duration.
    """
    if stream.codec_context is None:
        raise CorruptMediaError(path, f"its {stream.type} stream has an unknown codec")
    stream.codec_context.thread_type = "SLICE"
    stream.codec_context.thread_count = 1
    is_estimated = _may_be_estimated(container, stream)
    num_packets = num_damaged = num_frames = num_bytes = 0
    ends: dict[int, int] = {}  # in ticks: a Fraction for each packet takes longer
    for packet in demux(container, None, path):
        is_wanted = packet.stream.index == stream.index
        if packet.pts is not None:
            index, end = packet.stream.index, packet.pts + (packet.duration or 0)
            ends[index] = max(ends.get(index, 0), end)
        if not is_wanted:
            continue
        num_packets += 1
        num_bytes += packet.size
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            num_damaged += 1
            continue
        for frame in frames:
            num_frames += 1
            yield frame
    kind = stream.type
    if num_bytes == 0:
        raise CorruptMediaError(path, f"its {kind} is empty")
    if num_frames == 0:
        raise CorruptMediaError(path, f"none of its {kind} frames can be decoded")
    if num_damaged > _MAX_DAMAGED_SHARE * num_packets:
        raise CorruptMediaError(path, f"{num_damaged} of {num_packets} {kind} packets are damaged")
    ends_s = {index: end * Fraction(container.streams[index].time_base) for index, end in ends.items()}
    present_s, stated_s = _UNKNOWN_S if is_estimated else _present_and_stated(container, stream, ends_s)
    cut_off = f"its {kind} is cut off after {float(present_s):.2f} of {float(stated_s):.2f} s"
    if present_s < MIN_PRESENT_SHARE * stated_s:
        raise CorruptMediaError(path, cut_off)
    if note and present_s < WHOLE_SHARE * stated_s and present_s < stated_s - _WHOLE_S:
        note(cut_off)
    if note and num_damaged:
        note(f"skipped {num_damaged} of {num_packets} {kind} packets")


def _present_and_stated(container: Any, stream: Any, ends_s: Mapping[int, Fraction]) -> tuple[Fraction, Fraction]:
    """Duration that was read and duration in the header, s. 0 and 0 if the header has none.

    ``ends_s``: end of the packets by stream index. Matroska and FLV state one duration for all streams.
    """
    if stream.duration:
        present_s = ends_s.get(stream.index, Fraction(0)) - (start_of(stream) or 0)
        return present_s, stream.duration * Fraction(stream.time_base)
    if container.format.name in _ONE_LENGTH and container.duration:
        first_s = min(start_of(other) or Fraction(0) for other in container.streams)
        stated_s = Fraction(container.duration, av.time_base) - max(Fraction(0), first_s)
        return max(ends_s.values(), default=Fraction(0)) - first_s, stated_s
    return _UNKNOWN_S


def _may_be_estimated(container: Any, stream: Any) -> bool:
    """Whether FFmpeg may have computed the length of the only stream from the file's size and its first packets.

    It does so for MP3, AAC and other formats whose header need not state a length. Silence at the start makes the
    estimate far too long. A file that is cut off is smaller than its stated length and bit rate require.
    """
    others = [other for other in container.streams if not int(other.disposition) & _ATTACHED_PICTURE]
    if stream.type != "audio" or len(others) > 1 or not (stream.duration and stream.codec_context.bit_rate):
        return False
    stated_bits = stream.codec_context.bit_rate * float(stream.duration * stream.time_base)
    return bool(8 * container.size >= _MIN_ESTIMATE_SHARE * stated_bits)
