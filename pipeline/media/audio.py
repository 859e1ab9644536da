"""Audio: decodes any stream to samples, and resamples."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from pipeline.media.container import (
    MAX_PAUSE_S,
    decode,
    find_audio_stream,
    find_video_stream,
    refuse_step_back,
    start_of,
)
from pipeline.media.errors import CorruptMediaError, NoAudioError

Float32 = NDArray[np.float32]

_GAP_TOLERANCE_S = 0.02  # smaller differences of timestamps are rounding errors


def sound_delay_s(container: Any, path: Path) -> Fraction:
    """Delay of the audio relative to the first video frame, in seconds.

    0 if the audio does not start later, a stream is missing, or the file has no start times. Raises CorruptMediaError.
    """
    video, sound = find_video_stream(container), find_audio_stream(container)
    if video is None or sound is None:
        return Fraction(0)
    video_start = start_of(video)
    sound_start = _time_of(next(decode(container, sound, path)))  # the header includes samples that decoders skip
    if video_start is None or sound_start is None:
        return Fraction(0)
    return max(Fraction(0), sound_start - video_start)


def read_audio(container: Any, path: Path, note: Callable[[str], None] | None = None) -> tuple[Float32, int]:
    """Decode the first audio stream of a fresh container: ``float32 [n, channels]`` and its rate in Hz.

    The timestamp of each block sets its position. Lost packets become silence of the same length, which keeps audio and
    video in sync. ``note`` is called with a phrase about each loss. Raises NoAudioError, CorruptMediaError.
    """
    stream = find_audio_stream(container)
    if stream is None:
        raise NoAudioError(path)
    video = find_video_stream(container)
    video_start = start_of(video) if video is not None else None
    origin = video_start or Fraction(0)
    blocks: list[Float32] = []
    rate_hz = position = 0
    for frame in decode(container, stream, path, note):
        block = _to_float(frame, path)
        if not blocks:
            rate_hz = frame.sample_rate
            if video_start is None:
                origin = _time_of(frame) or Fraction(0)
        elif frame.sample_rate != rate_hz or block.shape[1] != blocks[0].shape[1]:
            raise CorruptMediaError(path, "its sample rate or channel count changes within the file")
        time = _time_of(frame)
        gap = 0 if time is None else round((time - origin) * rate_hz) - position
        if position and abs(gap) <= _GAP_TOLERANCE_S * rate_hz:
            gap = 0
        if position:
            refuse_step_back(path, "audio", Fraction(-gap, rate_hz))
        if gap > MAX_PAUSE_S * rate_hz:
            raise CorruptMediaError(
                path, f"its audio has a gap of {gap / rate_hz:.0f} s; at most {MAX_PAUSE_S} s is allowed"
            )
        if gap > 0:
            blocks.append(np.zeros((gap, block.shape[1]), np.float32))
        kept = block[max(0, -gap) :]
        blocks.append(kept)
        position += max(gap, 0) + len(kept)
    return np.concatenate(blocks), rate_hz


def _time_of(frame: Any) -> Fraction | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return Fraction(frame.pts) * Fraction(frame.time_base)


def _to_float(frame: Any, path: str | Path) -> Float32:
    """One decoded frame as ``float32 [n, channels]``. Raises CorruptMediaError for an unsupported sample format."""
    try:
        raw = frame.to_ndarray()
    except ValueError as error:  # PyAV cannot convert this sample format to an array
        raise CorruptMediaError(path, f"its audio cannot be converted: {error}") from error
    raw = raw.T if frame.format.is_planar else raw.reshape(frame.samples, -1)
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(raw.dtype, np.integer):
        return (raw / -float(np.iinfo(raw.dtype).min)).astype(np.float32)
    return raw.astype(np.float32)


def to_mono(samples: Float32) -> Float32:
    """Mean of the channels, which cannot clip: ``float32 [n, channels]`` or ``[n]`` -> ``float32 [n]``."""
    return samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)


def rms_of(samples: Float32) -> float:
    """Root mean square of ``float32 [n]``; 0 for an empty array."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def resample(samples: Float32, from_hz: int, to_hz: int) -> Float32:
    """Band-limited resampling along the first axis, without delay: ``float32 [n, ...]`` -> ``float32 [m, ...]``."""
    if from_hz == to_hz or len(samples) == 0:
        return samples
    return soxr.resample(samples, from_hz, to_hz, quality="HQ")
