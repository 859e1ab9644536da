"""What every video that is read has: a media file, or a folder of pictures."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.media.audio import Begin, SoundBlock, mono_blocks
from pipeline.media.errors import NoVideoError
from pipeline.media.header import Display, Header
from pipeline.media.picture import BgrArray, StoredPicture
from pipeline.media.video import TimedFrame

logger = logging.getLogger(__name__)


class InputVideo(ABC):
    """A video that stays open until ``close`` or the end of a ``with``.

    Passes over its frames and its sound may overlap; none may outlive it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...

    @property
    def notes(self) -> Sequence[str]:
        """What the passes until now changed or missed, one phrase each, such as ``its HDR (PQ) is converted ...``."""
        return tuple(self._notes)

    def note(self, text: str) -> None:
        """Log a phrase about what is changed or missed, and add it to ``notes``, once."""
        if text not in self._notes:
            self._notes.append(text)
            logger.warning("%s: %s", self.path, text)

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hex digest of the content."""

    @property
    @abstractmethod
    def header(self) -> Header:
        """What it states about itself. Raises CorruptMediaError."""

    @property
    @abstractmethod
    def display(self) -> Display:
        """Display of the first frame. Decodes that frame. Raises NoVideoError, CorruptMediaError."""

    @property
    @abstractmethod
    def encoding(self) -> str:
        """Codec, pixel format and coded size of the video, such as ``h264 yuv420p 720x576``.

        Raises NoVideoError, and CorruptMediaError for an unknown codec.
        """

    @property
    def fps(self) -> Fraction:
        """Frame rate of the video, as in ``header``. Raises NoVideoError."""
        if self.header.fps is None:
            raise NoVideoError(self.path)
        return self.header.fps

    @abstractmethod
    def frames(self, *, square_pixels: bool = False) -> Iterator[TimedFrame[BgrArray]]:
        """Yields all frames with their own times, upright and at the size of the first one, in constant memory.

        ``square_pixels`` resizes frames whose pixels are not square. No two images share memory.
        """

    @abstractmethod
    def stored_frames(self) -> Iterator[TimedFrame[StoredPicture]]:
        """Like ``frames()``, with a `YuvPicture` in place of BGR where the file stores one."""

    @abstractmethod
    def packet_ends_s(self) -> Iterator[float]:
        """Yields when each packet of the video ends, in seconds since its start, in stored order. Decodes nothing."""

    @abstractmethod
    def sound(self, begin: Begin = "picture", *, is_noted: bool = True) -> Iterator[SoundBlock]:
        """Yields the audio at its own rate, in constant memory. Sample 0 is at ``begin``. Raises NoAudioError.

        ``is_noted``: whether ``notes`` get its track and its losses. They do not matter to the user of a result
        without this sound.
        """

    def samples(self, rate_hz: int = SAMPLE_RATE_HZ, *, is_noted: bool = True) -> NDArray[np.float32]:
        """The audio in mono: ``float32 [n]`` at ``rate_hz``, about [-1, 1].

        Sample 0 is at the time of the first video frame or, without video, of the first audio sample. Encoder padding
        at the end is kept. ``is_noted``: as for `sound`.
        """
        return np.concatenate(list(mono_blocks(self.sound(is_noted=is_noted), rate_hz)))

    @abstractmethod
    def sound_packets(self) -> Generator[Any, None, None]:
        """Yields the stored packets of the audio, and keeps their container open. Raises NoAudioError."""

    @property
    @abstractmethod
    def is_plain_aac(self) -> bool:
        """Whether the audio is AAC in a profile that all players support."""

    @property
    @abstractmethod
    def sound_start_s(self) -> Fraction | None:
        """Time of the first audio sample on the file's clock, in seconds; None without audio or start times."""

    @property
    @abstractmethod
    def _sound_after_picture_s(self) -> Fraction:
        """Start of the audio minus start of the video, in seconds; 0 if one of them is unknown."""

    @property
    def sound_delay_s(self) -> Fraction:
        """Delay of the audio relative to the first video frame, in seconds; ``samples`` begins with as much silence.

        0 if the audio does not start later, a stream is missing, or the file has no start times.
        """
        return max(Fraction(0), self._sound_after_picture_s)

    @property
    def sound_lead_s(self) -> Fraction:
        """Length of the audio before the first video frame, in seconds; ``samples`` lacks it. 0 as in sound_delay_s."""
        return max(Fraction(0), -self._sound_after_picture_s)
