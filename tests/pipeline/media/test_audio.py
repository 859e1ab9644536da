"""Decoding and the two spectral features, against known answers."""

from __future__ import annotations

import math
import pickle
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.features.alignment import MEL_SILENCE
from pipeline.features.mel import mel_filterbank
from pipeline.media import audio
from pipeline.media.errors import CorruptMediaError, MediaError, MissingMediaError, NoAudioError
from pipeline.media.video import VideoWriter
from tests.support.definitions import mfcc_by_the_book

RATE = 16_000


def tone(hz: float, seconds: float, rate_hz: int = RATE, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def speech_like(seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    num = round(seconds * RATE)
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(num) / RATE)
    return (0.2 * envelope * rng.normal(size=num)).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, rate_hz: int, codec: str, sample_format: str) -> None:
    """Encode float32 [n, channels] with FFmpeg."""
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout, format=sample_format)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate = rate_hz
        for converted in av.AudioResampler(format=sample_format, layout=layout, rate=rate_hz).resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


# decoding


@pytest.mark.parametrize(
    ("name", "codec", "sample_format", "rate_hz", "channels"),
    [
        ("a.wav", "pcm_s16le", "s16", 8_000, 1),
        ("b.wav", "pcm_u8", "u8", 44_100, 2),
        ("c.wav", "pcm_f32le", "flt", 48_000, 2),
        ("d.flac", "flac", "s16", 22_050, 1),
        ("e.mp3", "libmp3lame", "s16p", 44_100, 2),
        ("f.mpg", "mp2", "s16", 44_100, 2),
        ("g.m4a", "aac", "fltp", 44_100, 1),
    ],
)
def test_any_codec_rate_and_channel_count_becomes_16_khz_mono(
    tmp_path: Path, name: str, codec: str, sample_format: str, rate_hz: int, channels: int
) -> None:
    source = np.repeat(tone(440, 1.0, rate_hz)[:, None], channels, axis=1)
    write_sound(tmp_path / name, source, rate_hz, codec, sample_format)
    samples = audio.decode_audio(tmp_path / name)
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
    np.testing.assert_array_equal(audio.float_to_int16(audio.decode_audio(tmp_path / "a.wav")), values)


def test_mono_is_the_mean_of_the_channels() -> None:
    np.testing.assert_array_equal(audio.to_mono(np.array([[1, 0], [0.5, 0.5]], np.float32)), [0.5, 0.5])


def test_resampling_keeps_a_tone_in_place() -> None:
    for rate_hz in (8_000, 11_025, 44_100, 48_000):
        resampled = audio.resample(tone(440, 1.0, rate_hz), rate_hz, RATE)
        expected = tone(440, 1.0)
        assert len(resampled) == len(expected)
        assert np.abs(resampled - expected)[500:-500].max() < 1e-3


def test_int16_survives_the_way_through_float() -> None:
    values = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(audio.float_to_int16(audio.int16_to_float(values)), values)
    np.testing.assert_array_equal(audio.float_to_int16(np.array([2.0, -2.0], np.float32)), [32767, -32768])


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
    decoded = audio.decode_audio(tmp_path / "late.mkv")
    assert len(decoded) == pytest.approx(3200 + 8000, abs=16)
    assert np.flatnonzero(decoded)[0] == pytest.approx(3200, abs=16)


@pytest.mark.parametrize("video_ms", [5, 30, 36, 56, 104])
def test_sound_that_starts_before_the_picture_is_cut_at_it(tmp_path: Path, video_ms: int) -> None:
    samples = np.zeros(8000, np.int16)
    samples[4000] = 16384  # 250 ms after the first sound
    write_apart(tmp_path / "early.mkv", video_ms, 0, samples)
    decoded = audio.decode_audio(tmp_path / "early.mkv")
    assert np.abs(decoded).argmax() == pytest.approx(4000 - video_ms * RATE // 1000, abs=16)


def test_a_raw_stream_that_begins_with_silence_is_not_taken_for_cut_off(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(6 * RATE, np.float32), np.tile(speech_like(), 4)])
    write_sound(tmp_path / "speech.aac", sound[:, None], RATE, "aac", "fltp")
    assert len(audio.decode_audio(tmp_path / "speech.aac")) == pytest.approx(len(sound), abs=2048)


def test_a_real_clip_with_lost_packets_keeps_its_length(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = audio.decode_audio(shared_data / "wild" / "hq_bbaf2a.mpg")
    assert len(samples) / RATE == pytest.approx(2.978, abs=0.002)  # as its undamaged neighbours
    assert "skipped 1 of" in caplog.text


def test_errors_name_the_file_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(MissingMediaError, match=r"none\.wav: no such file \[missing_file\]"):
        audio.decode_audio(tmp_path / "none.wav")
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(CorruptMediaError, match=r"noise\.mp4: cannot be opened"):
        audio.decode_audio(tmp_path / "noise.mp4")
    with VideoWriter(tmp_path / "mute.mp4", 25, (64, 64)) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(NoAudioError) as raised:
        audio.decode_audio(tmp_path / "mute.mp4")
    assert raised.value.reason_code == "no_audio"
    restored = pickle.loads(pickle.dumps(raised.value))
    assert type(restored) is NoAudioError
    assert (restored.path, restored.reason_code) == (tmp_path / "mute.mp4", "no_audio")
    assert isinstance(restored, MediaError)
    assert str(restored) == str(raised.value)


# mel


@pytest.mark.parametrize("num", [0, 1, 2, 199, 200, 399, 401, 3200, 48_000])
def test_mel_has_one_column_per_200_samples_and_silence_is_minus_four(num: int) -> None:
    mel = audio.mel_spectrogram(np.zeros(num, np.float32))
    assert mel.shape == (1 + num // 200, 80)
    assert mel.dtype == np.float32
    assert (mel == MEL_SILENCE).all()


def test_mel_stays_in_range_for_loud_and_short_sounds() -> None:
    rng = np.random.default_rng(0)
    for num in (2, 5, 300, 401, 5000):
        mel = audio.mel_spectrogram(rng.uniform(-1, 1, num).astype(np.float32) * 100)
        assert mel.shape == (1 + num // 200, 80)
        assert mel.min() >= -4.0
        assert mel.max() <= 4.0


@pytest.mark.parametrize("hz", [200.0, 440.0, 1000.0, 3000.0, 6000.0])
def test_a_tone_lands_in_the_band_around_it(hz: float) -> None:
    mel = audio.mel_spectrogram(tone(hz, 1.0))
    bands = mel_filterbank()
    weights = bands[:, round(hz / 20)]  # bins are 20 Hz apart
    assert weights[np.argmax(mel[40])] == weights.max()


def test_a_tone_has_the_level_of_the_formula() -> None:
    hz, amplitude = 1000.0, 0.25
    gain = abs(1 - 0.97 * np.exp(-2j * np.pi * hz / RATE))
    # A Hann window of 800 samples sums to 400; its main lobe reaches one bin to each side at half height.
    peak = amplitude * gain * 400 / 2
    bank = mel_filterbank()[:, 49:52].astype(np.float64)
    level = 20 * np.log10(np.maximum(1e-5, bank @ (peak * np.array([0.5, 1.0, 0.5])))) - 20
    expected = np.clip(8 * (level + 100) / 100 - 4, -4, 4)
    band = int(np.argmax(expected))
    assert audio.mel_spectrogram(tone(hz, 1.0, amplitude=amplitude))[40, band] == pytest.approx(
        expected[band], abs=0.01
    )


def test_a_shift_by_one_hop_shifts_one_column() -> None:
    samples = speech_like()
    mel = audio.mel_spectrogram(samples)
    later = audio.mel_spectrogram(np.concatenate([np.zeros(200, np.float32), samples]))
    np.testing.assert_allclose(later[4:-3], mel[3:-3], atol=1e-4)


def test_mel_of_a_long_sound_is_computed_in_pieces_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = speech_like(2.0)
    whole, whole_mfcc = audio.mel_spectrogram(samples), audio.mfcc(audio.float_to_int16(samples))
    monkeypatch.setattr("pipeline.features.samples._ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(audio.mel_spectrogram(samples), whole, atol=1e-5)
    np.testing.assert_allclose(audio.mfcc(audio.float_to_int16(samples)), whole_mfcc, atol=1e-4)


def test_mel_refuses_what_it_cannot_mean() -> None:
    with pytest.raises(ValueError, match="NaN"):
        audio.mel_spectrogram(np.array([0.0, np.nan], np.float32))
    with pytest.raises(ValueError, match="mono"):
        audio.mel_spectrogram(np.zeros((10, 2), np.float32))


def test_mel_filters_cover_the_band_with_slaneys_area() -> None:
    bank = mel_filterbank()
    assert bank.shape == (80, 401)
    bins_hz = np.arange(401) * 20.0
    assert (bank[:, (bins_hz <= 55) | (bins_hz >= 7600)] == 0).all()
    wide = bank[40:]  # low filters are narrower than two bins: their sampled area is coarse
    np.testing.assert_allclose(wide.sum(axis=1) * 20.0, 1.0, rtol=0.05)
    assert (np.diff(bank @ bins_hz / bank.sum(axis=1)) > 0).all()


@pytest.mark.slow
def test_mel_equals_librosa_on_a_real_clip(shared_data: Path) -> None:
    import librosa  # here, since it takes seconds

    samples = audio.decode_audio(shared_data / "grid" / "s26" / "lbbo3n.mpg")
    bank = librosa.filters.mel(
        sr=RATE, n_fft=800, n_mels=80, fmin=55.0, fmax=7600.0, htk=False, norm="slaney", dtype=np.float32
    )
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1]).astype(np.float32)
    spectrum = librosa.stft(
        emphasised, n_fft=800, hop_length=200, win_length=800, window="hann", center=True, pad_mode="reflect"
    )
    level = 20 * np.log10(np.maximum(1e-5, bank @ np.abs(spectrum))) - 20
    expected = np.clip(8 * (level + 100) / 100 - 4, -4, 4).T
    np.testing.assert_allclose(audio.mel_spectrogram(samples), expected, atol=1e-3)


# mfcc


@pytest.mark.parametrize("num", [1, 399, 400, 401, 560, 561, 1500])
def test_mfcc_equals_its_definition(num: int) -> None:
    samples = audio.float_to_int16(speech_like(0.2))[:num]
    np.testing.assert_allclose(audio.mfcc(samples), mfcc_by_the_book(samples), rtol=1e-4, atol=1e-4)


def test_mfcc_of_silence_is_the_floor() -> None:
    cepstra = audio.mfcc(np.zeros(48_000, np.int16))
    assert cepstra.shape == (299, 13)
    np.testing.assert_allclose(cepstra[:, 0], math.log(np.finfo(float).eps), rtol=1e-5)
    np.testing.assert_allclose(cepstra[:, 1:], 0.0, atol=1e-3)


def test_mfcc_refuses_floats() -> None:
    with pytest.raises(ValueError, match="int16"):
        audio.mfcc(np.zeros(1000, np.float32))
