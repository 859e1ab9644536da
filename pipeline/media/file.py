"""One media file, opened once: its digest, what it holds, its sound and its pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.media.audio import read_audio, resample, sound_delay_s, to_mono
from pipeline.media.container import decode, find_audio_stream, find_video_stream, open_container
from pipeline.media.errors import MissingMediaError, NoVideoError
from pipeline.media.video import TimedFrame, frame_rate_of, iter_frames, quarter_turns


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the file states without a picture or a sound being decoded."""

    fps: Fraction | None
    """None without video; measured on the time stamps where the file states its clock instead."""
    num_frames: int
    """Estimated from the duration where the file has no count; 0 where nothing is known, or without video."""
    duration_s: float
    """0 where the file does not say."""
    pixel_aspect: Fraction
    """Width over height of a stored pixel, 1 where the file does not say."""
    has_audio: bool
    audio_rate_hz: int | None
    """None without sound, and of sound in no known format. Likewise ``audio_channels``."""
    audio_channels: int | None

    @property
    def has_video(self) -> bool:
        return self.fps is not None


@dataclass(frozen=True, kw_only=True)
class Display:
    """The picture as players show it, upright: its size in pixels, and a pixel's width over its height."""

    width: int
    height: int
    pixel_aspect: Fraction


class MediaFile(AbstractContextManager["MediaFile"]):
    """One file, opened once and kept open until ``close`` or the end of a ``with``.

    Facts are found when they are first asked for, and kept. Each pass over sound or pictures starts a new demuxer on
    the open file: after seeking back to its start, FFmpeg decodes other sound from MP4 and WebM, and FLV refuses to
    seek. Passes may overlap; none outlives the file. What is decoded is what was digested, even if another file takes
    the name meanwhile.

    Raises MissingMediaError for what is not a file, OSError for one that this machine cannot read. Facts and passes
    raise CorruptMediaError, NoAudioError and NoVideoError.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise MissingMediaError(self.path, "is a folder, not a file")
        if not self.path.is_file():
            raise MissingMediaError(self.path)
        self._file = self.path.open("rb", buffering=0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file's bytes."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    @cached_property
    def header(self) -> Header:
        """Raises CorruptMediaError for a file that FFmpeg cannot open, or that holds neither picture nor sound."""
        with self._start() as container:
            audio, video = find_audio_stream(container), find_video_stream(container)
            duration_s = (container.duration or 0) / 1_000_000
            fps, num_frames, pixel_aspect = None, 0, Fraction(1)
            if video is not None:
                fps = frame_rate_of(container, video, self.path)
                num_frames = video.frames or round(duration_s * fps)
                pixel_aspect = Fraction(video.sample_aspect_ratio or 1)
            sound = None if audio is None else audio.codec_context
            return Header(
                fps=fps,
                num_frames=num_frames,
                duration_s=duration_s,
                pixel_aspect=pixel_aspect,
                has_audio=audio is not None,
                audio_rate_hz=None if sound is None else sound.rate,
                audio_channels=None if sound is None else sound.channels,
            )

    @property
    def fps(self) -> Fraction:
        """The video's own rate, as in ``header``. Raises NoVideoError."""
        if self.header.fps is None:
            raise NoVideoError(self.path)
        return self.header.fps

    @cached_property
    def display(self) -> Display:
        """Of the first picture, which is decoded for this."""
        pixel_aspect = self.header.pixel_aspect
        with self._start() as container:
            video = find_video_stream(container)
            if video is None:
                raise NoVideoError(self.path)
            first = next(decode(container, video, self.path))
            if quarter_turns(first) % 2:
                return Display(width=first.height, height=first.width, pixel_aspect=1 / pixel_aspect)
            return Display(width=first.width, height=first.height, pixel_aspect=pixel_aspect)

    @cached_property
    def sound_delay_s(self) -> Fraction:
        """How long after the first picture the sound begins; 0 if it does not, if the file does not say, or without
        either of them. ``samples`` are silent for as long."""
        with self._start() as container:
            return sound_delay_s(container, self.path)

    def samples(self, rate_hz: int = SAMPLE_RATE_HZ) -> NDArray[np.float32]:
        """The sound in mono: ``float32 [n]`` at ``rate_hz``, about [-1, 1].

        Sample 0 belongs to the first picture where there is one, else to the first sound. Encoder padding at the end
        stays.
        """
        samples, source_rate_hz = self.native_samples()
        return resample(to_mono(samples), source_rate_hz, rate_hz)

    def native_samples(self) -> tuple[NDArray[np.float32], int]:
        """The sound as it is: ``float32 [n, channels]`` and its rate in Hz. Time zero as in ``samples``."""
        with self._start() as container:
            return read_audio(container, self.path)

    def frames(self, fps: float | Fraction | None = None, *, square_pixels: bool = False) -> Iterator[TimedFrame]:
        """The pictures upright and of the first one's size, in constant memory.

        ``square_pixels`` stretches them where the file's pixels are displayed as something else than squares. With
        ``fps``, output k is the picture nearest in time to k / fps (of two equally near the earlier), so variable rates
        and lost pictures keep their timing; without, every picture with its own time. Every image is its own memory.
        Raises ValueError for an fps that is not positive.
        """
        source_fps = self.fps
        with self._start() as container:
            yield from iter_frames(container, self.path, source_fps, fps, square_pixels=square_pixels)

    def _start(self) -> AbstractContextManager[Any]:
        return open_container(self._file, self.path)
