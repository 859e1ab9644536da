"""The sound of a written video: encoded as AAC, or copied from another file without loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.media.audio import BlockReader, Float32, StreamResampler

_AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_AAC_BLOCK_SAMPLES = 1024
_LAYOUTS = {1: "mono", 2: "stereo"}


class OutputSound(ABC):
    """Sound of ``duration_s`` that is written once, in steps, into a container for MP4 or MOV."""

    duration_s: Fraction

    @abstractmethod
    def add_to(self, container: Any) -> None:
        """Add an audio stream to an output container. Called once, before the other methods."""

    @abstractmethod
    def write_until(self, end_s: Fraction) -> None:
        """Write whole packets up to ``end_s`` or somewhat less."""

    @abstractmethod
    def finish(self, end_s: Fraction) -> None:
        """Write the rest up to ``end_s``. Silence follows the end of the sound."""

    @abstractmethod
    def close(self) -> None:
        """Release the inputs. Called in any case, at the end."""


class EncodedSound(OutputSound):
    """AAC from blocks ``float32 [n, channels]``, one or two channels, ``num_samples`` in total at ``rate_hz``.

    Values beyond [-1, 1] are clipped. Rates that AAC does not have are resampled. ``bit_rate``: bits per second; FFmpeg
    reduces it where AAC allows less. None: FFmpeg's default, about 70 000 for each channel.
    """

    def __init__(
        self, blocks: Iterable[Float32], rate_hz: int, num_channels: int, num_samples: int, bit_rate: int | None = None
    ) -> None:
        self.duration_s = Fraction(num_samples, rate_hz)
        self._rate_hz = rate_hz if rate_hz in _AAC_RATES_HZ else 48_000
        self._layout = _LAYOUTS[num_channels]
        self._bit_rate = bit_rate
        self._blocks = _resampled(blocks, StreamResampler(rate_hz, self._rate_hz, num_channels))
        self._reader = BlockReader(self._blocks, num_channels)
        self._num_written = 0

    @classmethod
    def of(cls, audio: NDArray[np.float32], rate_hz: int) -> EncodedSound:
        """``audio``: ``float32 [n]`` or ``[n, 1..2]``. Raises ValueError for other shapes, NaN and infinity."""
        samples = audio[:, None] if audio.ndim == 1 else audio
        if samples.ndim != 2 or samples.shape[1] not in _LAYOUTS or samples.dtype.kind != "f":
            raise ValueError(f"audio must be float [n] or [n, 1..2], got {audio.dtype} {audio.shape}")
        if not np.isfinite(samples).all():
            raise ValueError("the audio contains NaN or infinity")
        return cls([samples.astype(np.float32, copy=False)], rate_hz, samples.shape[1], len(samples))

    def add_to(self, container: Any) -> None:
        self._container = container
        self._stream = container.add_stream("aac", rate=self._rate_hz, layout=self._layout)
        if self._bit_rate is not None:
            self._stream.bit_rate = self._bit_rate

    def write_until(self, end_s: Fraction) -> None:
        self._encode_until(round(end_s * self._rate_hz) // _AAC_BLOCK_SAMPLES * _AAC_BLOCK_SAMPLES)

    def finish(self, end_s: Fraction) -> None:
        self._encode_until(round(end_s * self._rate_hz))
        self._container.mux(self._stream.encode(None))

    def close(self) -> None:
        self._blocks.close()

    def _encode_until(self, stop: int) -> None:
        while self._num_written < stop:
            num = min(_AAC_BLOCK_SAMPLES, stop - self._num_written)
            samples = self._reader.take(num)
            padded = np.pad(samples, ((0, num - len(samples)), (0, 0)))  # silence after the end
            planar = np.ascontiguousarray(np.clip(padded, -1.0, 1.0).T)
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout=self._layout)
            frame.sample_rate = self._rate_hz
            frame.pts, frame.time_base = self._num_written, Fraction(1, self._rate_hz)
            self._container.mux(self._stream.encode(frame))
            self._num_written += num


class CopiedSound(OutputSound):
    """The stored packets of an audio stream. ``start_s``: time of sample 0 on the clock of the packets.

    ``packets`` must keep their container open. Players play all of the stream, whatever the length of the video. A
    packet without a time follows the one before it.
    """

    def __init__(self, packets: Generator[Any, None, None], duration_s: Fraction, start_s: Fraction) -> None:
        self.duration_s = duration_s
        self._packets, self._start_s = packets, start_s
        self._next: Any = None
        self._end = 0
        """End of the last written packet on its own clock."""

    def add_to(self, container: Any) -> None:
        self._container = container
        self._next = next(self._packets)
        self._end = round(self._start_s / self._next.time_base)
        self._stream = container.add_stream_from_template(self._next.stream)

    def write_until(self, end_s: Fraction) -> None:
        while self._next is not None and self._decoded_at() * self._next.time_base - self._start_s < end_s:
            self._write_next()

    def finish(self, end_s: Fraction) -> None:
        while self._next is not None:
            self._write_next()

    def close(self) -> None:
        self._next = None
        self._packets.close()

    def _write_next(self) -> None:
        packet, dts = self._next, self._decoded_at()
        pts = dts if packet.pts is None else packet.pts
        self._end = pts + (packet.duration or round(_AAC_BLOCK_SAMPLES / packet.stream.rate / packet.time_base))
        self._next = next(self._packets, None)
        shift = round(self._start_s / packet.time_base)
        packet.pts, packet.dts = pts - shift, dts - shift
        packet.stream = self._stream
        self._container.mux(packet)

    def _decoded_at(self) -> int:
        """Decoding time of the next packet on its own clock. Files need not state it."""
        times = (time for time in (self._next.dts, self._next.pts) if time is not None)
        return int(next(times, self._end))


def _resampled(blocks: Iterable[Float32], resampler: StreamResampler) -> Generator[Float32, None, None]:
    for block in blocks:
        yield resampler.add(block)
    yield resampler.finish()
