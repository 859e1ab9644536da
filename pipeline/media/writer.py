"""Writes H.264 and AAC videos that browsers can play, with audio and video of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.core import atomic
from pipeline.core.choices import Length
from pipeline.core.errors import UserError
from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.media.container import as_fps
from pipeline.media.frame_times import CLOCK_HZ, FrameTimes
from pipeline.media.output_sound import EncodedSound, OutputSound
from pipeline.media.picture import BT709, LIMITED_RANGE, StoredPicture, YuvConverter, YuvPicture, frame_in

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}


def require_video_name(path: Path) -> None:
    """Raises UserError unless the file name ends as those of the formats that VideoWriter writes."""
    if path.suffix.lower() not in _FORMATS:
        raise UserError(f"{path}: the file name must end in {', '.join(_FORMATS)}")


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """Writes frames and optional audio to one MP4 file, atomically.

    Frames are BGR or a `YuvPicture`, whose planes are encoded without a conversion. The file states the matrix of the
    first frame, BT.709 for BGR. ``size`` is (width, height) of the frames. An odd side is padded by repeating its last
    line, because 4:2:0 colour needs even sides. ``pixel_aspect`` is the displayed width of a pixel over its height.
    ``times`` shows the frames at these times instead of at the constant rate ``fps``; they must suit ``match``.

    ``audio`` is ``float32 [n]`` or ``[n, 1..2 channels]`` in [-1, 1] at ``audio_rate_hz``, any rate, or an
    ``OutputSound``, which states its rate itself. ``match="video"`` cuts the audio, or pads it with silence, to the
    length of the video. ``match="audio"`` ignores frames after the end of the audio, or repeats the last frame until
    then.

    ``x264``: further options of the encoder. ``comment`` becomes the file's metadata of this name. Encoding uses one
    thread: equal input gives equal bytes. Raises UserError for a file name with another suffix, ValueError for invalid
    input.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | Fraction,
        size: tuple[int, int],
        audio: NDArray[np.float32] | OutputSound | None = None,
        *,
        audio_rate_hz: int = SAMPLE_RATE_HZ,
        crf: float = 18,
        preset: str = "medium",
        x264: Mapping[str, str] | None = None,
        match: Length = "video",
        pixel_aspect: Fraction = Fraction(1),
        times: FrameTimes | None = None,
        comment: str | None = None,
    ) -> None:
        self._path = Path(path)
        require_video_name(self._path)
        if match not in get_args(Length) or (match == "audio" and audio is None):
            raise ValueError(f"match={match!r} with {'no' if audio is None else 'some'} audio")
        if min(size) < 1:
            raise ValueError(f"size must be positive, got {size}")
        self._fps, self._match = as_fps(fps), match
        self._ticks = None if times is None else times.ticks()
        self._time_base = 1 / self._fps if times is None else Fraction(1, CLOCK_HZ)
        self._size, self._pixel_aspect, self._comment = size, pixel_aspect, comment
        # x264's macroblock tree reads uninitialised memory: with it, equal input gives unequal bytes.
        self._options = {"crf": str(crf), "preset": preset, "mbtree": "0", **(x264 or {})}
        self._sound = EncodedSound.of(audio, audio_rate_hz) if isinstance(audio, np.ndarray) else audio
        self._num_wanted: int | None = None if times is None else len(times)
        if self._sound is not None and match == "audio" and times is None:
            self._num_wanted = max(1, round(self._sound.duration_s * self._fps))
        self._num_frames = 0  # encoded so far
        self._last_image: StoredPicture | None = None
        self._convert: YuvConverter

    def __enter__(self) -> Self:
        self._session = self._open()
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.__exit__(kind, error, trace)

    def write(self, image: StoredPicture) -> None:
        """Append one frame: ``uint8 [H, W, 3]`` BGR, or a `YuvPicture` of this size."""
        width, height = self._size
        dtype = np.dtype(np.uint8) if isinstance(image, YuvPicture) else image.dtype
        if dtype != np.uint8 or image.shape != (height, width, 3):
            raise ValueError(f"a frame must be uint8 {(height, width, 3)}, got {dtype} {image.shape}")
        if self._num_wanted is None or self._num_frames < self._num_wanted:
            if self._last_image is None:
                self._state_colour(image.convert if isinstance(image, YuvPicture) else YuvConverter(BT709))
            self._last_image = image
            self._encode_image(image)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with atomic.replacing(self._path) as temporary:
            container: Any = av.open(
                str(temporary.absolute()),
                "w",
                format=_FORMATS[self._path.suffix.lower()],
                container_options={"movflags": "+faststart"},
            )
            try:
                if self._comment is not None:
                    container.metadata["comment"] = self._comment
                self._container = container
                self._add_streams()
                yield
                self._finish()
            finally:
                if self._sound is not None:
                    self._sound.close()
                container.close()

    def _add_streams(self) -> None:
        video = self._container.add_stream("libx264", rate=self._fps, options=self._options)
        video.width, video.height = (side + side % 2 for side in self._size)
        video.pix_fmt = "yuv420p"
        if self._pixel_aspect != 1:
            video.codec_context.sample_aspect_ratio = self._pixel_aspect
        video.time_base = video.codec_context.time_base = self._time_base
        video.codec_context.thread_count = 1
        self._video = video
        if self._sound is not None:
            self._sound.add_to(self._container)

    def _state_colour(self, convert: YuvConverter) -> None:
        """Write the colour to the file, because players guess missing values differently."""
        self._convert = convert
        coded = self._video.codec_context
        coded.colorspace, coded.color_primaries, coded.color_trc = convert.matrix, BT709, BT709
        coded.color_range = LIMITED_RANGE

    def _encode_image(self, image: StoredPicture) -> None:
        height, width, _ = image.shape
        if isinstance(image, np.ndarray) and (width % 2 or height % 2):
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = frame_in(image, self._convert)
        frame.pict_type = 0  # the encoder chooses, whatever the type in the source was
        frame.pts, frame.time_base = self._tick(self._num_frames), self._time_base
        self._mux(self._video.encode(frame))
        self._num_frames += 1
        if self._sound is not None:  # interleave: otherwise the muxer buffers the video
            self._sound.write_until(self._sound_end_s(self._sound))

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            if self._ticks is not None:  # x264 states the duration of another frame
                place = int(np.searchsorted(self._ticks, packet.pts))
                packet.duration = self._tick(place + 1) - self._tick(place)
            self._container.mux(packet)

    def _tick(self, index: int) -> int:
        """Start of a frame on the clock of the file; that of the frame after the last one is the end."""
        return index if self._ticks is None else int(self._ticks[index])

    def _sound_end_s(self, sound: OutputSound) -> Fraction:
        """End of the sound that belongs to the frames written so far, s."""
        end_s = self._tick(self._num_frames) * self._time_base
        if self._match == "video":
            return end_s
        is_last = self._num_wanted is not None and self._num_frames >= self._num_wanted
        return sound.duration_s if is_last else min(end_s, sound.duration_s)

    def _finish(self) -> None:
        if self._last_image is None:
            raise ValueError(f"{self._path}: no frame was written")
        while self._num_wanted is not None and self._num_frames < self._num_wanted:
            self._encode_image(self._last_image)
        self._mux(self._video.encode(None))
        if self._sound is not None:
            self._sound.finish(self._sound_end_s(self._sound))
