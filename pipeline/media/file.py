"""One media file, opened once: its digest, header, audio samples and video frames."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.media.audio import Begin, SoundBlock, iter_sound, start_times
from pipeline.media.combing import CombNotes
from pipeline.media.container import MIN_PRESENT_SHARE, WHOLE_SHARE, decode, demux, find_video_stream, open_container
from pipeline.media.errors import CorruptMediaError, FolderInsteadError, MissingMediaError, NoAudioError
from pipeline.media.formats import riff_share
from pipeline.media.header import Display, Header
from pipeline.media.input_video import InputVideo
from pipeline.media.orientation import orientation_of
from pipeline.media.picture import BgrArray, StoredPicture
from pipeline.media.repack import repacked
from pipeline.media.tracks import AudioTrack, choose_audio_track
from pipeline.media.video import (
    TimedFrame,
    frame_rate_of,
    iter_frames,
    iter_packet_ends,
    iter_stored,
    require_video_stream,
)

logger = logging.getLogger(__name__)

_USUAL_AAC_PROFILES = ("LC", "HE-AAC", "HE-AACv2")


class MediaFile(InputVideo):
    """One file, opened once and kept open until ``close`` or the end of a ``with``.

    Properties are computed on first access and cached. Each pass over audio or video starts a new demuxer on the open
    file: after a seek to the start, FFmpeg decodes different audio from MP4 and WebM, and FLV does not support the
    seek. Passes may overlap; none may outlive the file. The digest and the decoded data always belong to the same
    bytes, even if another file replaces the path meanwhile.

    ``audio_track``: number of the audio track to use, from 1; by default as in ``choose_audio_track``. Raises
    MissingMediaError if the path is not a file, OSError if the file is not readable. Properties and passes raise
    CorruptMediaError, NoAudioError and NoVideoError, and UserError if there is no such audio track.
    """

    def __init__(self, path: str | Path, audio_track: int | None = None) -> None:
        super().__init__(Path(path))
        self._wanted_track = audio_track
        if self.path.is_dir():
            raise FolderInsteadError(self.path)
        if not self.path.is_file():
            raise MissingMediaError(self.path)
        self._file = self.path.open("rb", buffering=0)
        self._combs = CombNotes(self.note)

    def close(self) -> None:
        if "_readable" in vars(self):
            self._readable.close()
        self._file.close()

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file's bytes."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    @cached_property
    def header(self) -> Header:
        """The file's header. Raises CorruptMediaError if FFmpeg cannot open it, or it has neither video nor audio."""
        with self._start() as container:
            audio, video = self._audio_stream(container), find_video_stream(container)
            duration_s = (container.duration or 0) / 1_000_000
            fps, num_frames, pixel_aspect = None, 0, Fraction(1)
            if video is not None:
                fps = frame_rate_of(container, video, self.path)
                num_frames = video.frames or round(duration_s * fps)
                pixel_aspect = Fraction(video.sample_aspect_ratio or 1)
            return Header(
                fps=fps,
                num_frames=num_frames,
                duration_s=duration_s,
                pixel_aspect=pixel_aspect,
                has_audio=audio is not None,
            )

    @cached_property
    def display(self) -> Display:
        pixel_aspect = self.header.pixel_aspect
        with self._start() as container:
            first = next(decode(container, require_video_stream(container, self.path), self.path))
            if orientation_of(first).is_transposed:
                return Display(width=first.height, height=first.width, pixel_aspect=1 / pixel_aspect)
            return Display(width=first.width, height=first.height, pixel_aspect=pixel_aspect)

    @property
    def sound_start_s(self) -> Fraction | None:
        return self._starts_s[1]

    @property
    def _sound_after_picture_s(self) -> Fraction:
        picture, sound = self._starts_s
        return Fraction(0) if picture is None or sound is None else sound - picture

    @cached_property
    def _starts_s(self) -> tuple[Fraction | None, Fraction | None]:
        with self._start() as container:
            stream = self._audio_stream(container)
            return (None, None) if stream is None else start_times(container, stream, self.path)

    @cached_property
    def is_plain_aac(self) -> bool:
        with self._start() as container:
            stream = self._audio_stream(container)
            codec = None if stream is None else stream.codec_context
            return codec is not None and codec.name == "aac" and codec.profile in _USUAL_AAC_PROFILES

    def sound(self, begin: Begin = "picture", *, is_noted: bool = True) -> Iterator[SoundBlock]:
        note = self.note if is_noted else logger.debug
        with self._start() as container:
            stream = self._audio_stream(container)
            if stream is None:
                raise NoAudioError(self.path)
            if self._audio_track is not None and self._audio_track.choice:
                note(self._audio_track.choice)
            yield from iter_sound(container, stream, self.path, begin, note)

    def sound_packets(self) -> Generator[Any, None, None]:
        with self._start() as container:
            stream = self._audio_stream(container)
            if stream is None:
                raise NoAudioError(self.path)
            yield from (packet for packet in demux(container, stream, self.path) if packet.size)

    def frames(
        self, fps: float | Fraction | None = None, *, square_pixels: bool = False
    ) -> Iterator[TimedFrame[BgrArray]]:
        """As ``InputVideo.frames``, or at another frame rate.

        With ``fps``, output k is the frame nearest in
        time to k / fps, the earlier one on a tie; this keeps the timing of variable frame rates and lost frames.
        Raises ValueError if ``fps`` is not positive.
        """
        source_fps, judge = self.fps, (self.note, self._combs)
        with self._start() as container:
            yield from iter_frames(container, self.path, source_fps, fps, *judge, square_pixels=square_pixels)

    def stored_frames(self) -> Iterator[TimedFrame[StoredPicture]]:
        source_fps = self.fps
        with self._start() as container:
            yield from iter_stored(container, self.path, source_fps, self.note, self._combs)

    def packet_ends_s(self) -> Iterator[float]:
        source_fps = self.fps
        with self._start() as container:
            yield from iter_packet_ends(container, self.path, source_fps)

    @cached_property
    def encoding(self) -> str:
        with self._start() as container:
            coded = require_video_stream(container, self.path).codec_context
            if coded is None:
                raise CorruptMediaError(self.path, "its video stream has an unknown codec")
            return f"{coded.codec.canonical_name} {coded.pix_fmt or 'unknown'} {coded.width}x{coded.height}"

    @cached_property
    def _audio_track(self) -> AudioTrack | None:
        return choose_audio_track(self._start, self.path, self._wanted_track)

    def _audio_stream(self, container: Any) -> Any | None:
        return None if self._audio_track is None else container.streams.audio[self._audio_track.index]

    def _start(self) -> AbstractContextManager[Any]:
        share = riff_share(self._file)
        if share < MIN_PRESENT_SHARE:
            raise CorruptMediaError(self.path, f"is cut off: it has {share:.0%} of the bytes that its header states")
        if share < WHOLE_SHARE:
            self.note(f"is cut off: it has {share:.0%} of the bytes that its header states")
        return open_container(self._readable, self.path)

    @cached_property
    def _readable(self) -> BinaryIO:
        """The file, or what FFmpeg reads in its place."""
        return repacked(self._file, self.path) or self._file
