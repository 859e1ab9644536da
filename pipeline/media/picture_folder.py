"""A folder of pictures that are the frames of a video."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.media.audio import Begin, SoundBlock
from pipeline.media.container import as_fps, is_hidden
from pipeline.media.errors import CorruptMediaError, NoAudioError, NoVideoError
from pipeline.media.file import MediaFile
from pipeline.media.header import Display, Header
from pipeline.media.input_video import InputVideo
from pipeline.media.picture import BgrArray, StoredPicture
from pipeline.media.video import TimedFrame

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
USUAL_FPS = 25
_MIN_FPS, _MAX_FPS = 0.01, 1000


def open_pictures(path: Path, fps: float | None = None) -> InputVideo:
    """The video at ``path``: a media file, or a folder of pictures with ``fps`` frames per second, by default 25.

    Raises UserError if ``fps`` is given for a file, and the errors of ``MediaFile``.
    """
    if path.is_dir():
        return PictureFolder(path, USUAL_FPS if fps is None else fps)
    if fps is not None:
        raise UserError(f"--fps {fps:g} is for a folder of pictures; {path} has its own frame rate")
    return MediaFile(path)


class PictureFolder(InputVideo):
    """The pictures of a folder in the order of their names, as a video without sound.

    Numbers in the names count as numbers: 2.png comes before 10.png. Files with other suffixes than those of
    ``PICTURE_SUFFIXES`` and hidden files are ignored. Raises UserError for a frame rate outside 0.01 to 1000, and
    NoVideoError for a folder without pictures.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if not _MIN_FPS <= fps <= _MAX_FPS:
            raise UserError(f"--fps is {fps:g}; it must be from {_MIN_FPS:g} to {_MAX_FPS:g}")
        super().__init__(path)
        self._fps = as_fps(fps)
        self._pictures = pictures_in(path)
        if not self._pictures:
            raise NoVideoError(path, f"has no pictures ({', '.join(PICTURE_SUFFIXES)})")

    def close(self) -> None:
        pass

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the names and bytes of all pictures."""
        digest = hashlib.sha256()
        for picture in self._pictures:
            digest.update(f"{picture.name}\n{hashlib.sha256(picture.read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()

    @cached_property
    def header(self) -> Header:
        num_frames = len(self._pictures)
        return Header(
            fps=self._fps,
            num_frames=num_frames,
            duration_s=float(num_frames / self._fps),
            pixel_aspect=self.display.pixel_aspect,
            has_audio=False,
        )

    @cached_property
    def display(self) -> Display:
        with MediaFile(self._pictures[0]) as first:
            return first.display

    @cached_property
    def encoding(self) -> str:
        """That of the first picture."""
        with MediaFile(self._pictures[0]) as first:
            return first.encoding

    @property
    def sound_start_s(self) -> Fraction | None:
        return None

    @property
    def _sound_after_picture_s(self) -> Fraction:
        return Fraction(0)

    @cached_property
    def is_plain_aac(self) -> bool:
        return False

    def sound(self, begin: Begin = "picture", *, is_noted: bool = True) -> Iterator[SoundBlock]:
        raise NoAudioError(self.path)

    def sound_packets(self) -> Generator[Any, None, None]:
        raise NoAudioError(self.path)

    def packet_ends_s(self) -> Iterator[float]:
        return (float(number / self._fps) for number in range(1, len(self._pictures) + 1))

    def frames(self, *, square_pixels: bool = False) -> Iterator[TimedFrame[BgrArray]]:
        """Yields the pictures. Raises CorruptMediaError for a picture of another size."""
        size = (self.display.height, self.display.width)
        for number, path in enumerate(self._pictures):
            with MediaFile(path) as picture:
                frame = next(iter(picture.frames(square_pixels=square_pixels)))
                self._notes += [note for note in picture.notes if note not in self._notes]
            if not square_pixels and frame.image.shape[:2] != size:
                height, width = frame.image.shape[:2]
                raise CorruptMediaError(
                    path,
                    f"is {width}x{height}, the first picture of the folder {size[1]}x{size[0]}; all must have one size",
                )
            yield TimedFrame(float(number / self._fps), float((number + 1) / self._fps), frame.image)

    def stored_frames(self) -> Iterator[TimedFrame[StoredPicture]]:
        """Yields the pictures in BGR."""
        return (TimedFrame(timed.time_s, timed.end_s, timed.image) for timed in self.frames())


def pictures_in(folder: Path) -> Sequence[Path]:
    """The pictures of a folder that are not hidden, sorted by name, with numbers as numbers."""
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not is_hidden(path.name) and path.is_file()
    ]
    return sorted(found, key=lambda path: _numbered(path.name))


def _numbered(name: str) -> list[tuple[bool, int, str]]:
    """A sort key in which digits count as numbers."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
