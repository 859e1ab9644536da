"""Decoding sound, against known answers."""

from __future__ import annotations

import pickle
import wave
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.features.samples import float_to_int16
from pipeline.media import audio
from pipeline.media.errors import CorruptMediaError, MediaError, MissingMediaError, NoAudioError
from pipeline.media.writer import VideoWriter
from tests.support.media_readers import read_native_samples, read_samples
from tests.support.sound import RATE, speech_like, tone
from tests.support.sound_files import write_sound

# decoding


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels"),
    [
        ("a.wav", "pcm_s16le", 8_000, 1),
        ("b.wav", "pcm_u8", 44_100, 2),
        ("c.wav", "pcm_f32le", 48_000, 2),
        ("d.flac", "flac", 22_050, 1),
        ("e.mp3", "libmp3lame", 44_100, 2),
        ("f.mpg", "mp2", 44_100, 2),
        ("g.m4a", "aac", 44_100, 1),
    ],
)
def test_any_codec_rate_and_channel_count_becomes_16_khz_mono(
    tmp_path: Path, name: str, codec: str, rate_hz: int, channels: int
) -> None:
    source = np.repeat(tone(440, 1.0, rate_hz)[:, None], channels, axis=1)
    write_sound(tmp_path / name, source, rate_hz, codec)
    samples = read_samples(tmp_path / name)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == pytest.approx(RATE, abs=0.11 * RATE)  # codecs add up to two blocks
    middle = samples[4000:12000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) * RATE / len(middle) == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.03)  # mixing down neither doubles nor halves


def test_pcm_decodes_to_the_very_samples(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32768, 32768, size=5000).astype(np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(values.tobytes())
    np.testing.assert_array_equal(float_to_int16(read_samples(tmp_path / "a.wav")), values)


def test_mono_is_the_mean_of_the_channels() -> None:
    np.testing.assert_array_equal(audio.to_mono(np.array([[1, 0], [0.5, 0.5]], np.float32)), [0.5, 0.5])


def test_resampling_keeps_a_tone_in_place() -> None:
    for rate_hz in (8_000, 11_025, 44_100, 48_000):
        resampled = audio.resample(tone(440, 1.0, rate_hz), rate_hz, RATE)
        expected = tone(440, 1.0)
        assert len(resampled) == len(expected)
        assert np.abs(resampled - expected)[500:-500].max() < 1e-3


def write_apart(path: Path, video_ms: int, sound_ms: int, samples: np.ndarray) -> None:
    """25 frames from ``video_ms`` on and 16 kHz sound from ``sound_ms`` on, in packets of 20 ms."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number in range(25):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
            picture.pts, picture.time_base = video_ms + 40 * number, Fraction(1, 1000)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for start in range(0, len(samples), RATE // 50):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + RATE // 50], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, sound_ms * RATE // 1000 + start
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def test_sound_that_starts_after_the_picture_is_padded_to_it(tmp_path: Path) -> None:
    write_apart(tmp_path / "late.mkv", 0, 200, np.full(8000, 16384, np.int16))
    decoded = read_samples(tmp_path / "late.mkv")
    assert len(decoded) == pytest.approx(3200 + 8000, abs=16)
    assert np.flatnonzero(decoded)[0] == pytest.approx(3200, abs=16)


@pytest.mark.parametrize("video_ms", [5, 30, 36, 56, 104])
def test_sound_that_starts_before_the_picture_is_cut_at_it(tmp_path: Path, video_ms: int) -> None:
    samples = np.zeros(8000, np.int16)
    samples[4000] = 16384  # 250 ms after the first sound
    write_apart(tmp_path / "early.mkv", video_ms, 0, samples)
    decoded = read_samples(tmp_path / "early.mkv")
    assert np.abs(decoded).argmax() == pytest.approx(4000 - video_ms * RATE // 1000, abs=16)


def test_a_raw_stream_that_begins_with_silence_is_not_taken_for_cut_off(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(6 * RATE, np.float32), np.tile(speech_like(), 4)])
    write_sound(tmp_path / "speech.aac", sound[:, None], RATE, "aac")
    assert len(read_samples(tmp_path / "speech.aac")) == pytest.approx(len(sound), abs=2048)


def write_variable_rate_mp3(path: Path, *, states_length: bool) -> int:
    """One second of silence, five of noise. Returns the number of samples."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 44_100)
    sound = np.concatenate([np.zeros(44_100), noise]).astype(np.float32)[:, None]
    quality = {"flags": "+qscale", "global_quality": "0"}
    options = {"write_xing": str(int(states_length))}
    write_sound(path, sound, 44_100, "libmp3lame", container_options=options, options=quality)
    return len(sound)


@pytest.mark.parametrize("states_length", [False, True])
def test_a_variable_rate_mp3_is_not_taken_for_cut_off(tmp_path: Path, states_length: bool) -> None:
    num_samples = write_variable_rate_mp3(tmp_path / "v.mp3", states_length=states_length)
    assert len(read_native_samples(tmp_path / "v.mp3")[0]) == pytest.approx(num_samples, abs=3000)


def test_an_mp3_that_is_cut_off_is_refused_if_it_states_its_length(tmp_path: Path) -> None:
    path = tmp_path / "v.mp3"
    write_variable_rate_mp3(path, states_length=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptMediaError, match=r"its audio is cut off after 3\.\d+ of 6\.00 s"):
        read_samples(path)


# tracks that change


@pytest.mark.parametrize(
    "sections",
    [[(44_100, 1), (48_000, 1)], [(44_100, 1), (44_100, 2)], [(48_000, 2), (22_050, 1), (44_100, 2)]],
)
def test_sections_with_other_rates_and_channels_are_converted(tmp_path: Path, sections: list[tuple[int, int]]) -> None:
    joined = b""
    for number, (rate_hz, channels) in enumerate(sections):
        sound = np.repeat(tone(440 * (number + 1), 2.0, rate_hz)[:, None], channels, axis=1)
        write_sound(tmp_path / "part.mp3", sound, rate_hz, "libmp3lame", container_options={"write_xing": "0"})
        joined += (tmp_path / "part.mp3").read_bytes()
    (tmp_path / "joined.mp3").write_bytes(joined)
    samples, rate_hz = read_native_samples(tmp_path / "joined.mp3")
    assert (rate_hz, samples.shape[1]) == sections[0]
    assert len(samples) / rate_hz == pytest.approx(2 * len(sections), abs=0.1 * len(sections))
    for number in range(len(sections)):
        middle = samples[round((2.2 * number + 0.5) * rate_hz) :][:rate_hz, -1]
        assert np.argmax(np.abs(np.fft.rfft(middle))) == pytest.approx(440 * (number + 1), abs=1)
        assert np.abs(middle).max() == pytest.approx(0.5, abs=0.05)


def test_resampling_a_stream_gives_the_samples_of_the_whole() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (20_000, 2)).astype(np.float32)
    for from_hz, to_hz in ((44_100, RATE), (8_000, 48_000), (RATE, RATE)):
        stream = audio.StreamResampler(from_hz, to_hz, 2)
        parts = [stream.add(sound[start : start + 700]) for start in range(0, len(sound), 700)]
        joined = np.concatenate([*parts, stream.finish()])
        np.testing.assert_array_equal(joined, audio.resample(sound, from_hz, to_hz))


def test_a_real_clip_with_lost_packets_keeps_its_length(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = read_samples(shared_data / "wild" / "hq_bbaf2a.mpg")
    assert len(samples) / RATE == pytest.approx(2.978, abs=0.002)  # as its undamaged neighbours
    assert "skipped 1 of" in caplog.text


def test_errors_name_the_file_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(MissingMediaError, match=r"none\.wav: no such file \[missing_file\]"):
        read_samples(tmp_path / "none.wav")
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(CorruptMediaError, match=r"noise\.mp4: cannot be opened"):
        read_samples(tmp_path / "noise.mp4")
    with VideoWriter(tmp_path / "mute.mp4", 25, (64, 64)) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(NoAudioError) as raised:
        read_samples(tmp_path / "mute.mp4")
    assert raised.value.reason_code == "no_audio"
    restored = pickle.loads(pickle.dumps(raised.value))
    assert type(restored) is NoAudioError
    assert (restored.path, restored.reason_code) == (tmp_path / "mute.mp4", "no_audio")
    assert isinstance(restored, MediaError)
    assert str(restored) == str(raised.value)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (3, 14), (12, 20), (18, 30), (25, 30), (7, 7)])
@pytest.mark.parametrize("size", [1, 4, 20])
def test_a_part_of_a_sound_in_blocks(start: int, stop: int, size: int) -> None:
    samples = np.arange(20, dtype=np.float32)
    blocks = [samples[place : place + size] for place in range(0, 20, size)]
    np.testing.assert_array_equal(audio.samples_between(blocks, start, stop), samples[start:stop])


def test_a_part_of_a_sound_asks_for_no_block_after_it_and_keeps_none_before_it() -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def blocks() -> Iterator[np.ndarray]:
        for number in range(6):
            block = np.full(10, number, np.float32)
            alive.append(weakref.ref(block))
            yield block
        raise AssertionError("the part ended before")

    def count_alive(limit: int) -> Iterator[np.ndarray]:
        for block in blocks():
            assert sum(one() is not None for one in alive) <= limit
            yield block

    assert audio.samples_between(count_alive(3), 45, 60).tolist() == [4] * 5 + [5] * 10
