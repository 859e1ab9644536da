"""The sound of written videos: copied without loss where that is possible, else encoded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.media.audio import Float32
from pipeline.media.output_sound import CopiedSound, EncodedSound, OutputSound
from pipeline.media.writer import VideoWriter
from tests.support.grey_videos import SIZE, grey
from tests.support.media_readers import header_of, read_native_samples
from tests.support.sound import tone
from tests.support.sound_files import write_sound


def write_with(path: Path, sound: OutputSound, num_frames: int) -> None:
    with VideoWriter(path, 25, SIZE, sound, match="audio") as writer:
        for _ in range(num_frames):
            writer.write(grey(0))


def noise_blocks(rate_hz: int, channels: int, seconds: int, block_samples: int = 1000) -> Iterator[Float32]:
    rng = np.random.default_rng(0)
    for start in range(0, seconds * rate_hz, block_samples):
        num = min(block_samples, seconds * rate_hz - start)
        yield rng.uniform(-0.5, 0.5, (num, channels)).astype(np.float32)


@pytest.mark.parametrize(("rate_hz", "channels", "least"), [(48_000, 2, 150), (44_100, 1, 140), (16_000, 1, 70)])
def test_the_bit_rate_is_as_asked_where_aac_allows_it(tmp_path: Path, rate_hz: int, channels: int, least: int) -> None:
    """AAC at 16 kHz allows at most 96 kb/s for each channel."""
    sound = EncodedSound(noise_blocks(rate_hz, channels, 4), rate_hz, channels, 4 * rate_hz, 160_000)
    write_with(tmp_path / "v.mp4", sound, 100)
    with av.open(str(tmp_path / "v.mp4")) as container:
        num_bytes = sum(packet.size for packet in container.demux(audio=0))
    assert least <= 8 * num_bytes / 4 / 1000 <= 175


@pytest.mark.parametrize("rate_hz", [48_000, 7_350])
def test_blocks_of_any_size_become_one_sound(tmp_path: Path, rate_hz: int) -> None:
    wave = tone(300, 1.0, rate_hz)[:, None]
    rates_hz = {48_000: 48_000, 7_350: 48_000}
    results = []
    for size in (1, 333, len(wave)):
        blocks = (wave[start : start + size] for start in range(0, len(wave), size))
        write_with(tmp_path / "v.mp4", EncodedSound(blocks, rate_hz, 1, len(wave)), 25)
        samples, written_hz = read_native_samples(tmp_path / "v.mp4")
        assert written_hz == rates_hz[rate_hz]
        assert len(samples) == pytest.approx(written_hz, abs=1024)
        results.append(samples)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_duration_is_that_of_the_samples() -> None:
    assert EncodedSound(iter(()), 44_100, 2, 22_050).duration_s == Fraction(1, 2)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    peaks = []
    for seconds in (10, 40):
        sound = EncodedSound(noise_blocks(48_000, 2, seconds), 48_000, 2, 48_000 * seconds, 160_000)
        tracemalloc.start()
        write_with(tmp_path / "v.mp4", sound, 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert header_of(tmp_path / "v.mp4").duration_s == pytest.approx(40, abs=0.1)
    assert peaks[1] - peaks[0] < 2**20  # 30 s of these samples are 11 MiB


@pytest.mark.parametrize("absent", [("dts",), ("pts",), ("pts", "dts")])
def test_packets_without_times_are_copied_one_after_another(tmp_path: Path, absent: Sequence[str]) -> None:
    write_sound(tmp_path / "a.m4a", tone(300, 1.0, 44_100)[:, None], 44_100, "aac")
    written = []
    for without in ((), absent):
        with av.open(str(tmp_path / "a.m4a")) as source:

            def packets(source: Any = source, without: Sequence[str] = without) -> Generator[Any, None, None]:
                for number, packet in enumerate(source.demux(audio=0)):
                    if not packet.size:
                        return
                    for name in without if number % 3 == 2 else ():
                        setattr(packet, name, None)
                    yield packet

            start_s = source.streams.audio[0].start_time * source.streams.audio[0].time_base
            write_with(tmp_path / "v.mp4", CopiedSound(packets(), Fraction(1), start_s), 25)
        with av.open(str(tmp_path / "v.mp4")) as copy:
            written.append([(packet.pts, packet.dts, bytes(packet)) for packet in copy.demux(audio=0)])
    assert written[1] == written[0] and len(written[0]) > 40
