"""Pictures that FFmpeg does not read, or of which it reads a part, stored again as a video that it reads.

FFmpeg decodes no animated WebP. Of a HEIF or AVIF photograph it decodes the first stored item, which may be one of the
tiles that phones store. Pillow decodes these files, with pi-heif for HEIF.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np
import pi_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from pipeline.media.errors import CorruptMediaError

_ANIMATION_FLAG = 0x02
_PHOTOGRAPHS = {b"heic": "HEIF", b"heix": "HEIF", b"heim": "HEIF", b"heis": "HEIF", b"avif": "AVIF"}
"""Brands of photographs (ISO 23008-12), and Pillow's names of their formats."""
_SEQUENCES = frozenset({b"hevc", b"hevx", b"msf1", b"avis"})
"""Brands of films in the same container, which FFmpeg reads."""
_MOST_BRANDS_BYTES = 256
_ADVICE = {"HEIF": "JPEG", "AVIF": "JPEG", "WEBP": "GIF or MP4"}
_NAMES = {"HEIF": "a HEIC photograph", "AVIF": "an AVIF photograph", "WEBP": "an animated WebP"}
_STILL_MS = 40
_MIN_MS, _BROWSERS_MS = 10, 100
_CLOCK = Fraction(1, 1000)
_BT709, _RGB, _FULL_RANGE = 1, 0, 2
_DECODING_ERRORS = (OSError, ValueError, SyntaxError, EOFError, RuntimeError)
"""What Pillow and its plugins raise for damaged files."""


class _Picture(NamedTuple):
    """``image`` in the mode RGB or RGBA, shown for ``duration_ms``, with the codes of its colours (ISO 23091-2)."""

    image: Image.Image
    duration_ms: int
    primaries: int
    transfer: int


def repacked(file: BinaryIO, path: Path) -> BinaryIO | None:
    """An unnamed temporary file with the pictures of ``file``, without loss; None if FFmpeg reads ``file`` itself.

    The pictures are upright. A photograph is shown for 40 ms. Raises CorruptMediaError with ``path`` in its message.
    """
    kind = _kind_of(file)
    if kind is None:
        return None
    scratch: Any = tempfile.TemporaryFile(prefix="lipsmith-")  # noqa: SIM115
    try:
        with av.open(scratch, "w", format="mov") as container:
            _store(_pictures(file, kind, path), container)
        scratch.flush()
    except BaseException:
        scratch.close()
        raise
    return scratch


def photograph_size(file: BinaryIO, path: Path) -> tuple[int, int] | None:
    """Width and height of a file that Pillow must decode, from its header; None if FFmpeg reads it itself.

    Raises CorruptMediaError.
    """
    kind = _kind_of(file)
    if kind is None:
        return None
    with _opened(file, kind, path) as image:
        return image.size


def _kind_of(file: BinaryIO) -> str | None:
    """Pillow's name of the format if Pillow must decode the file."""
    head = os.pread(file.fileno(), _MOST_BRANDS_BYTES, 0)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return "WEBP" if len(head) > 20 and head[20] & _ANIMATION_FLAG else None
    if head[4:8] != b"ftyp" or head[8:12] in _SEQUENCES:
        return None
    end = int.from_bytes(head[:4])
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, min(end, len(head)), 4))]
    return next((_PHOTOGRAPHS[brand] for brand in brands if brand in _PHOTOGRAPHS), None)


@contextmanager
def _opened(file: BinaryIO, kind: str, path: Path) -> Iterator[Any]:
    """Open the file with Pillow. Errors of its decoders, also those in this block, become CorruptMediaError."""
    if kind == "HEIF":
        pi_heif.register_heif_opener(thumbnails=False)
    content = io.BytesIO(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
    try:
        with Image.open(content, formats=[kind]) as image:
            yield image
    except (*_DECODING_ERRORS, Image.DecompressionBombError) as error:
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"  # its text names an object
        raise CorruptMediaError(
            path, f"is {_NAMES[kind]} that cannot be decoded{why}; convert it to {_ADVICE[kind]}"
        ) from error


def _pictures(file: BinaryIO, kind: str, path: Path) -> Iterator[_Picture]:
    """Yields the pictures of a file, decoded by Pillow. Raises CorruptMediaError."""
    with _opened(file, kind, path) as image:
        for number in range(getattr(image, "n_frames", 1) if kind == "WEBP" else 1):
            if number:  # a photograph opens at its primary picture, which need not be the first
                image.seek(number)
            image.load()
            yield _picture_of(image, _duration_ms(image) if kind == "WEBP" else _STILL_MS)


def _duration_ms(image: Image.Image) -> int:
    """Time for which a picture of an animation is shown. Browsers show those of at most 10 ms for 100 ms."""
    stated = int(image.info["duration"])
    return stated if stated > _MIN_MS else _BROWSERS_MS


def _picture_of(image: Image.Image, duration_ms: int) -> _Picture:
    """The picture upright. The values of an ICC profile are converted to sRGB."""
    shown = ImageOps.exif_transpose(image)
    shown = shown.convert("RGBA" if shown.has_transparency_data else "RGB")
    if profile := image.info.get("icc_profile"):
        with suppress(ImageCms.PyCMSError):  # a damaged profile: the values stay as they are
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            shown = ImageCms.profileToProfile(shown, source, ImageCms.createProfile("sRGB")) or shown
        return _Picture(shown, duration_ms, _BT709, _BT709)
    coding = image.info.get("nclx_profile") or {}
    primaries, transfer = (int(coding.get(name, _BT709)) for name in ("color_primaries", "transfer_characteristics"))
    return _Picture(shown, duration_ms, primaries, transfer)


def _store(pictures: Iterator[_Picture], container: Any) -> None:
    """Write the pictures without loss. QuickTime keeps the duration of each."""
    stream: Any = None
    start_ms = 0
    for picture in pictures:
        array = np.asarray(picture.image)
        if stream is None:
            stream = container.add_stream("png", rate=25)
            stream.height, stream.width = array.shape[:2]
            stream.pix_fmt = "rgba" if array.shape[2] == 4 else "rgb24"
            stream.time_base = stream.codec_context.time_base = _CLOCK
            stream.codec_context.thread_count = 1
            codec = stream.codec_context
            codec.color_primaries, codec.color_trc = picture.primaries, picture.transfer
            codec.colorspace, codec.color_range = _RGB, _FULL_RANGE  # without them the others are not written
        frame = av.VideoFrame.from_ndarray(array, format="rgba" if array.shape[2] == 4 else "rgb24")
        frame = frame.reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = start_ms, _CLOCK
        start_ms += picture.duration_ms
        for packet in stream.encode(frame):  # one, with a single thread
            packet.duration = picture.duration_ms
            container.mux(packet)
