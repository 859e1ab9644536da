"""Converts decoded audio frames to samples, and mixes more than two channels to stereo."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from pipeline.media.errors import CorruptMediaError

Float32 = NDArray[np.float32]

_USUAL_CHANNELS = (6, 8)
"""Numbers of channels that mean 5.1 and 7.1 if the file does not state their positions."""


class FrameConverter:
    """Converts frames to ``float32 [n, 1..2]``, full scale is 1.

    FFmpeg mixes more than two channels with the weights of ITU-R BS.775: left = L + 0.7071 C + 0.7071 Ls, right
    likewise, without the low-frequency channel. Loud recordings can exceed full scale. Channels without stated
    positions are taken for 5.1 or 7.1 if there are six or eight. Other channels without weights are averaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._converters: dict[tuple[str, str, int], Callable[[Any], Float32]] = {}

    def __call__(self, frame: Any) -> Float32:
        """Raises CorruptMediaError for an unsupported sample format."""
        if frame.layout.nb_channels <= 2:
            return self._to_float(frame)
        key = (frame.format.name, frame.layout.name, frame.sample_rate)
        if key not in self._converters:
            self._converters[key] = _converter_for(frame)
        return self._converters[key](frame)

    def _to_float(self, frame: Any) -> Float32:
        try:
            raw = frame.to_ndarray()
        except ValueError as error:  # PyAV cannot convert this sample format to an array
            raise CorruptMediaError(self._path, f"its audio cannot be converted: {error}") from error
        raw = raw.T if frame.format.is_planar else raw.reshape(frame.samples, -1)
        if raw.dtype == np.uint8:
            return (raw.astype(np.float32) - 128.0) / 128.0
        if np.issubdtype(raw.dtype, np.integer):
            return (raw / -float(np.iinfo(raw.dtype).min)).astype(np.float32)
        return raw.astype(np.float32)


def _converter_for(frame: Any) -> Callable[[Any], Float32]:
    """A function that mixes frames like ``frame``: to stereo, or to mono if their layout has no weights."""
    has_positions = any(channel.name != "NONE" for channel in frame.layout.channels)
    if has_positions or frame.layout.nb_channels in _USUAL_CHANNELS:
        with contextlib.suppress(av.error.FFmpegError):  # FFmpeg has no weights for some layouts
            _resampled(_resampler(frame, "stereo"), frame)
            return functools.partial(_resampled, _resampler(frame, "stereo"))
    apart = _resampler(frame, frame.layout.name)
    return lambda other: _resampled(apart, other).mean(axis=1, keepdims=True, dtype=np.float32)


def _resampler(frame: Any, layout: str) -> Any:
    """Converts to float, since FFmpeg attenuates a mix of integer samples so that it cannot clip."""
    return av.AudioResampler(format="flt", layout=layout, rate=frame.sample_rate)


def _resampled(resampler: Any, frame: Any) -> Float32:
    """``float32 [n, channels]``. PyAV itself cannot convert planar frames of eight channels."""
    parts = [part.to_ndarray().reshape(-1, part.layout.nb_channels) for part in resampler.resample(frame)]
    return np.concatenate(parts)
