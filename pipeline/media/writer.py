"""Writes H.264 and AAC videos that browsers can play, with audio and video of equal length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.core import atomic
from pipeline.core.choices import Length
from pipeline.core.errors import UserError
from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.media.audio import resample
from pipeline.media.container import EXACT_COLOUR, as_fps

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}
_AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_AAC_BLOCK_SAMPLES = 1024
_LAYOUTS = {1: "mono", 2: "stereo"}
_BT709, _LIMITED_RANGE = 1, 1  # written to the file, because players guess missing values differently


class VideoWriter(AbstractContextManager["VideoWriter"]):
    """Writes BGR frames and optional audio to one MP4 file, atomically.

    ``size`` is (width, height) of the frames. An odd side is padded by repeating its last line, because 4:2:0 colour
    needs even sides. ``audio`` is ``float32 [n]`` or ``[n, 1..2 channels]`` in [-1, 1] at ``audio_rate_hz``, any rate.
    ``match="video"`` cuts the audio, or pads it with silence, to the length of the video. ``match="audio"`` ignores
    frames after the end of the audio, or repeats the last frame until then. ``pixel_aspect`` is the displayed width of
    a pixel over its height. Encoding uses one thread: equal input gives equal bytes. Raises UserError for a file name
    with another suffix, ValueError for invalid input.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | Fraction,
        size: tuple[int, int],
        audio: NDArray[np.float32] | None = None,
        *,
        audio_rate_hz: int = SAMPLE_RATE_HZ,
        crf: int = 18,
        preset: str = "medium",
        match: Length = "video",
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        self._path = Path(path)
        if self._path.suffix.lower() not in _FORMATS:
            raise UserError(f"{self._path}: the file name must end in {', '.join(_FORMATS)}")
        if match not in get_args(Length) or (match == "audio" and audio is None):
            raise ValueError(f"match={match!r} with {'no' if audio is None else 'some'} audio")
        if min(size) < 1:
            raise ValueError(f"size must be positive, got {size}")
        self._fps = as_fps(fps)
        self._size, self._pixel_aspect = size, pixel_aspect
        # x264's macroblock tree reads uninitialised memory: with it, equal input gives unequal bytes.
        self._options = {"crf": str(crf), "preset": preset, "mbtree": "0"}
        self._audio: NDArray[np.float32] | None = None
        self._num_wanted: int | None = None
        if audio is not None:
            self._audio, self._rate_hz = _encodable(audio, audio_rate_hz)
            if match == "audio":
                self._num_wanted = max(1, round(len(self._audio) * self._fps / self._rate_hz))
        self._num_frames = self._num_samples = 0  # encoded so far
        self._last_image: NDArray[np.uint8] | None = None
        self._reformatter = VideoReformatter()

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

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append one frame, ``uint8 [H, W, 3]`` BGR."""
        width, height = self._size
        if image.dtype != np.uint8 or image.shape != (height, width, 3):
            raise ValueError(f"a frame must be uint8 {(height, width, 3)}, got {image.dtype} {image.shape}")
        if self._num_wanted is None or self._num_frames < self._num_wanted:
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
                self._container = container
                self._add_streams()
                yield
                self._finish()
            finally:
                container.close()

    def _add_streams(self) -> None:
        video = self._container.add_stream("libx264", rate=self._fps, options=self._options)
        video.width, video.height = (side + side % 2 for side in self._size)
        video.pix_fmt = "yuv420p"
        if self._pixel_aspect != 1:
            video.codec_context.sample_aspect_ratio = self._pixel_aspect
        video.time_base = video.codec_context.time_base = 1 / self._fps
        video.codec_context.thread_count = 1
        video.codec_context.colorspace = video.codec_context.color_primaries = _BT709
        video.codec_context.color_trc = _BT709
        video.codec_context.color_range = _LIMITED_RANGE
        self._video = video
        if self._audio is not None:
            layout = _LAYOUTS[self._audio.shape[1]]
            self._sound = self._container.add_stream("aac", rate=self._rate_hz, layout=layout)

    def _encode_image(self, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        if width % 2 or height % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED_RANGE,
            interpolation=EXACT_COLOUR,
            threads=1,
        )
        frame.pts, frame.time_base = self._num_frames, 1 / self._fps
        self._container.mux(self._video.encode(frame))
        self._num_frames += 1
        if self._audio is not None:  # interleave: otherwise the muxer buffers the video
            whole_blocks = self._samples_until_now() // _AAC_BLOCK_SAMPLES * _AAC_BLOCK_SAMPLES
            self._encode_sound(whole_blocks)

    def _samples_until_now(self) -> int:
        assert self._audio is not None
        if self._num_wanted is not None and self._num_frames >= self._num_wanted:
            return len(self._audio)
        num_samples = round(self._num_frames * self._rate_hz / self._fps)
        return num_samples if self._num_wanted is None else min(num_samples, len(self._audio))

    def _encode_sound(self, until: int) -> None:
        """Encode samples up to ``until``; silence follows the end of the audio."""
        assert self._audio is not None
        while self._num_samples < until:
            stop = min(self._num_samples + _AAC_BLOCK_SAMPLES, until)
            block = self._audio[self._num_samples : stop]
            silence = stop - self._num_samples - len(block)
            planar = np.ascontiguousarray(np.pad(block, ((0, silence), (0, 0))).T)
            layout = _LAYOUTS[self._audio.shape[1]]
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout=layout)
            frame.sample_rate = self._rate_hz
            frame.pts, frame.time_base = self._num_samples, Fraction(1, self._rate_hz)
            self._container.mux(self._sound.encode(frame))
            self._num_samples = stop

    def _finish(self) -> None:
        if self._last_image is None:
            raise ValueError(f"{self._path}: no frame was written")
        while self._num_wanted is not None and self._num_frames < self._num_wanted:
            self._encode_image(self._last_image)
        self._container.mux(self._video.encode(None))
        if self._audio is not None:
            self._encode_sound(self._samples_until_now())
            self._container.mux(self._sound.encode(None))


def _encodable(audio: NDArray[np.float32], rate_hz: int) -> tuple[NDArray[np.float32], int]:
    """The audio as ``float32 [n, channels]`` at a rate that AAC supports, and that rate in Hz."""
    samples = audio[:, None] if audio.ndim == 1 else audio
    if samples.ndim != 2 or samples.shape[1] not in _LAYOUTS or samples.dtype.kind != "f":
        raise ValueError(f"audio must be float [n] or [n, 1..2], got {audio.dtype} {audio.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("the audio contains NaN or infinity")
    if rate_hz not in _AAC_RATES_HZ:
        samples, rate_hz = resample(samples, rate_hz, 48_000), 48_000
    return np.clip(samples, -1.0, 1.0).astype(np.float32), rate_hz
