"""Refuses huge pictures before they are decoded. A small file may hold a picture that needs a lot of memory."""

from __future__ import annotations

from pathlib import Path

from pipeline.media.container import open_container
from pipeline.media.errors import CorruptMediaError
from pipeline.media.repack import photograph_size


def require_few_pixels(path: Path, max_pixels: int) -> None:
    """Raises CorruptMediaError if a video stream or cover art of the file has more than ``max_pixels`` in a frame.

    FFmpeg decodes a picture to open some formats, such as PNG, unless it has a limit. Without a size the picture is
    beyond the limit, or damaged. Later frames may be larger than those at the start, which are checked. Raises
    NotMediaError for a file that is no media.
    """
    with path.open("rb", buffering=0) as file:
        if (photograph := photograph_size(file, path)) is not None:
            sizes = [photograph]
        else:
            with open_container(file, path, max_pixels) as container:
                coded = [stream.codec_context for stream in container.streams.video]
                sizes = [(one.width, one.height) for one in coded if one is not None]
    if any(not 0 < width * height <= max_pixels for width, height in sizes):
        raise CorruptMediaError(path, f"its picture has more than {max_pixels / 1e6:.0f} million pixels, or is damaged")
