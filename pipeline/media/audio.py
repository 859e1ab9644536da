"""Audio: decodes any track in blocks of samples, and resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from pipeline.media.container import MAX_PAUSE_S, decode, find_video_stream, refuse_step_back, start_of
from pipeline.media.downmix import FrameConverter
from pipeline.media.errors import CorruptMediaError

Float32 = NDArray[np.float32]
Note = Callable[[str], None]
Begin = Literal["picture", "sound"]
"""Time of sample 0: the first video frame, or the first audio sample if that is earlier."""

_GAP_TOLERANCE_S = 0.02  # smaller differences of timestamps are rounding errors


class SoundBlock(NamedTuple):
    """Consecutive samples ``float32 [n, 1..2]``, about [-1, 1]; all blocks of a track have one rate and channel count.

    ``is_as_stored`` is False if players of the stored packets play something else here: the samples were cut, inserted
    or resampled.
    """

    samples: Float32
    rate_hz: int
    is_as_stored: bool = True


def start_times(container: Any, stream: Any, path: Path) -> tuple[Fraction | None, Fraction | None]:
    """Times of the first video frame and of the first audio sample on the clock of a fresh container, s.

    None without video or without start times. Raises CorruptMediaError.
    """
    video = find_video_stream(container)
    # the header includes samples that decoders skip
    return None if video is None else start_of(video), _time_of(next(decode(container, stream, path)))


def iter_sound(
    container: Any, stream: Any, path: Path, begin: Begin = "picture", note: Note | None = None
) -> Iterator[SoundBlock]:
    """Decode an audio stream of a fresh container, in memory that does not grow with its length.

    The first frame sets the rate and the channels; later frames that differ are converted. More than two channels are
    mixed as in ``FrameConverter``. The timestamp of each frame sets its position. Lost packets become silence of the
    same length, which keeps audio and video in sync. ``note`` is called with a phrase about each loss. Raises
    CorruptMediaError.
    """
    joint: _Joint | None = None
    for block in _placed(container, stream, path, begin, note):
        joint = joint or _Joint(block.rate_hz, block.samples.shape[1])
        yield from joint.add(block)
    if joint is not None:
        yield from joint.finish()


def _placed(container: Any, stream: Any, path: Path, begin: Begin, note: Note | None) -> Iterator[SoundBlock]:
    """The frames at their own rates, without samples before the beginning, and with silence in gaps."""
    video = find_video_stream(container)
    origin = None if video is None else start_of(video)
    convert = FrameConverter(path)
    position_s = Fraction(0)
    for frame in decode(container, stream, path, note):
        samples, rate_hz, time = convert(frame), frame.sample_rate, _time_of(frame)
        is_first = position_s == 0
        if origin is None:
            origin = time or Fraction(0)
        elif is_first and begin == "sound" and time is not None:
            origin = min(origin, time)
        gap = 0 if time is None else round((time - origin) * rate_hz) - round(position_s * rate_hz)
        if not is_first:
            if abs(gap) <= _GAP_TOLERANCE_S * rate_hz:
                gap = 0
            refuse_step_back(path, "audio", Fraction(-gap, rate_hz))
        if gap > MAX_PAUSE_S * rate_hz:
            raise CorruptMediaError(
                path, f"its audio has a gap of {gap / rate_hz:.0f} s; at most {MAX_PAUSE_S} s is allowed"
            )
        for silence in _split(gap, rate_hz):
            yield SoundBlock(np.zeros((silence, samples.shape[1]), np.float32), rate_hz, is_as_stored=False)
        kept = samples[max(0, -gap) :]
        yield SoundBlock(kept, rate_hz, is_as_stored=gap >= 0)
        position_s += Fraction(max(gap, 0) + len(kept), rate_hz)


def _split(num: int, most: int) -> Iterator[int]:
    """Parts of at most ``most`` that sum to ``num``; none if ``num`` is negative."""
    for start in range(0, num, most):
        yield min(most, num - start)


class _Joint:
    """Converts blocks to the rate and the number of channels of the first one."""

    def __init__(self, rate_hz: int, num_channels: int) -> None:
        self._rate_hz, self._num_channels = rate_hz, num_channels
        self._resampler: StreamResampler | None = None

    def add(self, block: SoundBlock) -> Iterator[SoundBlock]:
        samples = self._with_channels(block.samples)
        if self._resampler is None or self._resampler.from_hz != block.rate_hz:
            yield from self.finish()
            if block.rate_hz != self._rate_hz:
                self._resampler = StreamResampler(block.rate_hz, self._rate_hz, self._num_channels)
        if self._resampler is not None:
            yield SoundBlock(self._resampler.add(samples), self._rate_hz, is_as_stored=False)
        else:
            is_as_stored = block.is_as_stored and samples.shape == block.samples.shape
            yield SoundBlock(samples, self._rate_hz, is_as_stored)

    def finish(self) -> Iterator[SoundBlock]:
        if self._resampler is not None:
            yield SoundBlock(self._resampler.finish(), self._rate_hz, is_as_stored=False)
            self._resampler = None

    def _with_channels(self, samples: Float32) -> Float32:
        if samples.shape[1] == self._num_channels:
            return samples
        return np.repeat(to_mono(samples)[:, None], self._num_channels, axis=1)


def _time_of(frame: Any) -> Fraction | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return Fraction(frame.pts) * Fraction(frame.time_base)


def to_mono(samples: Float32) -> Float32:
    """Mean of the channels: ``float32 [n, channels]`` or ``[n]`` -> ``float32 [n]``."""
    return samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)


def rms_of(samples: Float32) -> float:
    """Root mean square of ``float32 [n]``; 0 for an empty array."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


class StreamResampler:
    """Band-limited resampling of a stream of blocks ``float32 [n, channels]``, without delay.

    The blocks that ``add`` and at last ``finish`` return are together what ``resample`` returns for the whole.
    """

    def __init__(self, from_hz: int, to_hz: int, num_channels: int) -> None:
        self.from_hz = from_hz
        self._stream = None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, num_channels, quality="HQ")
        self._nothing = np.zeros((0, num_channels), np.float32)

    def add(self, samples: Float32) -> Float32:
        if self._stream is None:
            return samples
        return self._resampled(samples)

    def finish(self) -> Float32:
        return self._nothing if self._stream is None else self._resampled(self._nothing, last=True)

    def _resampled(self, samples: Float32, last: bool = False) -> Float32:
        assert self._stream is not None
        found: Float32 = self._stream.resample_chunk(np.ascontiguousarray(samples), last=last)
        return found.reshape(-1, self._nothing.shape[1])


def mono_blocks(blocks: Iterable[SoundBlock], to_hz: int) -> Iterator[Float32]:
    """The blocks of a track in mono at another rate: ``float32 [n]`` each."""
    resampler: StreamResampler | None = None
    for block in blocks:
        resampler = resampler or StreamResampler(block.rate_hz, to_hz, 1)
        yield resampler.add(to_mono(block.samples)[:, None])[:, 0]
    if resampler is not None:
        yield resampler.finish()[:, 0]


class BlockReader:
    """Takes a given number of samples at a time from blocks ``float32 [n, channels]``."""

    def __init__(self, blocks: Iterable[Float32], num_channels: int) -> None:
        self._blocks = iter(blocks)
        self._held = np.zeros((0, num_channels), np.float32)
        self.is_at_end = False

    def take(self, num: int) -> Float32:
        """The next ``num`` samples, fewer at the end."""
        parts, missing = [self._held], num - len(self._held)
        while missing > 0 and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            missing -= len(block)
        self.is_at_end = missing > 0
        joined = np.concatenate(parts) if len(parts) > 1 else self._held
        self._held = joined[num:]
        return joined[:num]


def samples_between(blocks: Iterable[Float32], start: int, stop: int) -> Float32:
    """The samples ``start`` to ``stop`` (exclusive) of a sound in blocks ``float32 [n]``; fewer if it ends before.

    Keeps only these samples, and asks for no block after them.
    """
    parts: list[Float32] = []
    position = 0
    for block in blocks:
        if position + len(block) > start:  # a part, even an empty one, keeps its block in memory
            parts.append(block[max(0, start - position) : stop - position])
        position += len(block)
        if position >= stop:
            break
    return np.concatenate([np.zeros(0, np.float32), *parts])


def resample(samples: Float32, from_hz: int, to_hz: int) -> Float32:
    """Band-limited resampling along the first axis, without delay: ``float32 [n, ...]`` -> ``float32 [m, ...]``."""
    if from_hz == to_hz or len(samples) == 0:
        return samples
    return soxr.resample(samples, from_hz, to_hz, quality="HQ")
