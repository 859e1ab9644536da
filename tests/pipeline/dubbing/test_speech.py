"""The speech of a dub: where it begins, how it is written, and the memory it takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.dubbing.speech import SpeechTrack, load_speech
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import float_to_int16
from pipeline.media.audio import Begin
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
from pipeline.media.output_sound import CopiedSound, EncodedSound
from pipeline.media.writer import VideoWriter
from tests.support.grey_videos import SIZE, grey
from tests.support.sound import RATE, speech_like, tone
from tests.support.sound_files import write_sound, write_video

HZ = 44_100


def noise(channels: int = 1, seconds: float = 2.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (round(seconds * HZ), channels)).astype(np.float32)


def rewritten(path: Path, out: Path, length: str = "audio") -> tuple[type, np.ndarray, np.ndarray]:
    """The kind of output sound, the samples of the speech in ``path``, and those of the video written with it."""
    with MediaFile(path) as media:
        speech = load_speech(media)
        sound = speech.output(is_whole=length == "audio")
        with VideoWriter(out, 25, SIZE, sound, match=length) as writer:
            for _ in range(round(speech.duration_s * 25)):
                writer.write(grey(0))
        wanted = np.concatenate([block.samples for block in media.sound("sound")])
    with MediaFile(out) as media:
        assert media.sound_delay_s == 0
        return type(sound), wanted, np.concatenate([block.samples for block in media.sound()])


@pytest.mark.parametrize("name", ["a.m4a", "a.aac", "a.mka", "a.mov", "a.ts"])
def test_aac_is_copied_without_loss(tmp_path: Path, name: str) -> None:
    write_sound(tmp_path / name, noise(2), HZ, "aac")
    kind, wanted, written = rewritten(tmp_path / name, tmp_path / "out.mp4")
    assert kind is CopiedSound
    np.testing.assert_array_equal(written[: len(wanted)], wanted[: len(written)])
    assert len(written) == pytest.approx(len(wanted), abs=1024)


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.ts"])
def test_the_aac_of_a_video_is_copied_without_loss(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, [noise()], HZ, seconds=2.0)
    kind, wanted, written = rewritten(tmp_path / name, tmp_path / "out.mp4")
    assert kind is CopiedSound
    np.testing.assert_array_equal(written[: len(wanted)], wanted[: len(written)])


def test_copied_surround_sound_keeps_its_channels(tmp_path: Path) -> None:
    write_sound(tmp_path / "s.m4a", np.repeat(noise(), 6, axis=1), HZ, "aac", layout="5.1")
    kind, *_ = rewritten(tmp_path / "s.m4a", tmp_path / "out.mp4")
    assert kind is CopiedSound
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].layout.name == "5.1"


def test_only_the_whole_is_copied(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.m4a", noise(), HZ, "aac")
    assert rewritten(tmp_path / "a.m4a", tmp_path / "out.mp4", length="video")[0] is EncodedSound


@pytest.mark.parametrize(("name", "codec"), [("a.wav", "pcm_s16le"), ("a.mp3", "libmp3lame"), ("a.flac", "flac")])
def test_other_codecs_are_encoded_well(tmp_path: Path, name: str, codec: str) -> None:
    write_sound(tmp_path / name, tone(440, 2.0, HZ)[:, None], HZ, codec)
    kind, wanted, written = rewritten(tmp_path / name, tmp_path / "out.mp4")
    assert kind is EncodedSound
    error = written[2048 : len(wanted) - 2048] - wanted[2048 : len(written)][: len(wanted) - 4096]
    assert np.sqrt(np.mean(error**2)) < 0.01 * np.sqrt(np.mean(wanted**2))


def test_aac_with_a_gap_is_encoded(tmp_path: Path) -> None:
    video = tmp_path / "v.mkv"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        for start in range(0, 2 * RATE, 1024):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1024), 0.1, np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start + (RATE if start > RATE else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    kind, wanted, _ = rewritten(video, tmp_path / "out.mp4")
    assert kind is EncodedSound
    assert len(wanted) == pytest.approx(3 * RATE, abs=3 * 1024)


@pytest.mark.parametrize(("begin", "expected_s"), [("sound", 1.5), ("picture", 1.0)])
def test_the_speech_begins_with_its_sound_or_its_picture(tmp_path: Path, begin: Begin, expected_s: float) -> None:
    write_video(tmp_path / "v.mkv", [speech_like(1.5)[:, None]], RATE, seconds=1.0, picture_s=0.5)
    with MediaFile(tmp_path / "v.mkv") as media:
        assert media.sound_lead_s == pytest.approx(0.5, abs=0.1)  # less the block that primes the encoder
        assert float(load_speech(media, begin).duration_s) == pytest.approx(expected_s, abs=0.13)


def test_sound_that_ends_before_the_picture_begins_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mkv", [speech_like(0.5)[:, None]], RATE, seconds=1.0, picture_s=2.0)
    with MediaFile(tmp_path / "v.mkv") as media:
        assert load_speech(media).num_samples > 0
        with pytest.raises(CorruptMediaError, match="its audio ends before its video begins"):
            load_speech(media, "picture")


def test_the_features_are_those_of_the_whole_sound(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", noise(2), HZ, "pcm_f32le")
    with MediaFile(tmp_path / "a.wav") as media:
        speech, samples = load_speech(media), media.samples()
    np.testing.assert_array_equal(speech.mel, mel_spectrogram(samples))
    np.testing.assert_array_equal(speech.audio, float_to_int16(samples))


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_speech(tmp_path: Path) -> None:
    """The features of a minute take 3.5 MiB, and 48 kHz stereo takes 23 MiB."""

    def peak(minutes: int) -> int:
        wavfile.write(tmp_path / "a.wav", 48_000, np.full((minutes * 60 * 48_000, 2), 140, np.uint8))
        with MediaFile(tmp_path / "a.wav") as media:
            tracemalloc.start()
            speech: SpeechTrack = load_speech(media)
            assert speech.num_samples == minutes * 60 * 48_000
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    assert peak(4) - peak(2) < 2**20
