"""One file, opened once: its facts, passes that do not disturb each other, and nothing beyond the file itself."""

from __future__ import annotations

import hashlib
import itertools
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.errors import CorruptMediaError, MissingMediaError, NoAudioError, NoVideoError
from pipeline.media.file import MediaFile
from pipeline.media.header import Display
from tests.support.grey_videos import SIZE, grey, levels, write_frames
from tests.support.media_readers import sound_format_of

NTSC = Fraction(30000, 1001)


@pytest.fixture
def speaking(tmp_path: Path) -> Path:
    """Ten pictures, each with its own grey, and a sound."""
    path = tmp_path / "v.mp4"
    sound = np.random.default_rng(0).normal(0, 0.1, round(16_000 * 10 / NTSC)).astype(np.float32)
    write_frames(path, 10, NTSC, sound)
    return path


def test_facts_of_a_file(speaking: Path) -> None:
    with MediaFile(speaking) as media:
        header = media.header
        assert media.fps == header.fps == NTSC
        assert (header.num_frames, sound_format_of(speaking)) == (10, (16_000, 1))
        assert header.fps is not None and header.has_audio
        assert header.duration_s == pytest.approx(float(10 / NTSC), abs=0.002)
        assert media.display == Display(width=SIZE[0], height=SIZE[1], pixel_aspect=Fraction(1))
        assert media.encoding == f"h264 yuv420p {SIZE[0]}x{SIZE[1]}"
        assert media.sound_delay_s == 0
        assert media.sha256 == hashlib.sha256(speaking.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("encoder", "suffix", "pixels", "expected"),
    [
        ("mpeg1video", ".mpg", "yuv420p", "mpeg1video yuv420p 64x48"),
        ("libvpx-vp9", ".webm", "yuv420p", "vp9 yuv420p 64x48"),
        ("ffv1", ".mkv", "bgr0", "ffv1 bgr0 64x48"),
        ("libx264", ".mp4", "yuv444p", "h264 yuv444p 64x48"),
    ],
)
def test_an_encoding_names_the_codec_and_not_its_encoder_or_decoder(
    tmp_path: Path, encoder: str, suffix: str, pixels: str, expected: str
) -> None:
    path = tmp_path / f"v{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(3):
            image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="bgr24")
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    with MediaFile(path) as media:
        assert media.encoding == expected


def test_the_digest_is_whole_wherever_the_passes_are(speaking: Path) -> None:
    with MediaFile(speaking) as media:
        next(media.frames())
        assert media.sha256 == hashlib.sha256(speaking.read_bytes()).hexdigest()


def test_passes_begin_at_the_start_and_may_overlap(speaking: Path) -> None:
    with MediaFile(speaking) as media:
        first = media.samples()
        late = media.frames()
        begun = list(itertools.islice(late, 4))
        np.testing.assert_array_equal(media.samples(), first)
        whole = [frame.image for frame in media.frames()]
        rest = [frame.image for frame in late]
    assert levels(whole) == list(range(10))
    np.testing.assert_array_equal(np.stack([frame.image for frame in begun] + rest), np.stack(whole))


@pytest.mark.parametrize(
    ("suffix", "container_format", "video_codec", "audio_codec", "options"),
    [
        (".mpg", "mpeg", "mpeg1video", "mp2", {}),
        (".ts", "mpegts", "mpeg2video", "mp2", {}),
        (".webm", "webm", "libvpx", "libopus", {"live": "1"}),  # states no length, and cannot be searched
        (".avi", "avi", "mjpeg", "pcm_s16le", {}),
        (".mp4", "mp4", "libx264", "aac", {}),
        (".flv", "flv", "flv1", "aac", {}),
    ],
)
def test_a_second_pass_gives_what_the_first_gave(
    tmp_path: Path, suffix: str, container_format: str, video_codec: str, audio_codec: str, options: dict[str, str]
) -> None:
    path = tmp_path / f"v{suffix}"
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    with av.open(str(path), "w", format=container_format, options=options) as container:
        pictures = container.add_stream(video_codec, rate=25)
        pictures.width, pictures.height = SIZE
        pictures.pix_fmt = "yuvj420p" if video_codec == "mjpeg" else "yuv420p"
        sample_format = av.codec.Codec(audio_codec, "w").audio_formats[0].name
        sound = container.add_stream(audio_codec, rate=48_000, layout="mono", format=sample_format)
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(grey(10 * number), format="bgr24")
            container.mux(pictures.encode(frame))
        samples = av.AudioFrame.from_ndarray(noise[None], format="fltp", layout="mono")
        samples.sample_rate = 48_000
        for converted in av.AudioResampler(format=sample_format, layout="mono", rate=48_000).resample(samples):
            container.mux(sound.encode(converted))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    with MediaFile(path) as media:
        sounds = [media.samples() for _ in range(2)]
        passes = [[frame.image for frame in media.frames(25)] for _ in range(2)]
    np.testing.assert_array_equal(*sounds)
    np.testing.assert_array_equal(*passes)
    assert len(passes[0]) == 25


@pytest.mark.parametrize("sound_ms", [0, 300])
def test_the_delay_of_the_sound_is_the_silence_before_it(tmp_path: Path, sound_ms: int) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for number in range(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey(10 * number), format="bgr24")))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 9000, np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, sound_ms * 16
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with MediaFile(path) as media:
        assert media.sound_delay_s == Fraction(sound_ms, 1000)
        assert np.flatnonzero(media.samples())[0] == pytest.approx(sound_ms * 16, abs=16)


def test_a_file_that_loses_its_name_is_read_on(speaking: Path) -> None:
    """A corpus that is replaced meanwhile cannot slip other pictures under a digest."""
    with MediaFile(speaking) as media:
        digest = media.sha256
        write_frames(speaking.with_name("other.mp4"), 3, 25)
        speaking.with_name("other.mp4").replace(speaking)
        assert len(list(media.frames())) == 10
        assert hashlib.sha256(speaking.read_bytes()).hexdigest() != digest == media.sha256


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nv.ts\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile v.ts\n"),
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, name: str, content: str) -> None:
    with av.open(str(tmp_path / "v.ts"), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(10 * number), format="bgr24")))
        container.mux(stream.encode(None))
    (tmp_path / name).write_text(content)
    with av.open(str(tmp_path / name)) as container:  # which FFmpeg would follow
        assert sum(1 for _ in container.decode(video=0)) == 25
    with MediaFile(tmp_path / name) as media, pytest.raises(CorruptMediaError, match="cannot be opened"):
        _ = media.header


def test_a_stream_that_begins_late_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    """FFmpeg looks for streams in the first 90 s of an FLV file; a sound comes after 99 s."""
    path = tmp_path / "v.flv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(2500):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(10 * (number % 20)), format="bgr24")))
        container.mux(stream.encode(None))
    body = b"\x3e" + bytes(100)
    tag = b"\x08" + len(body).to_bytes(3, "big") + (99_000).to_bytes(3, "big") + bytes(4) + body
    path.write_bytes(path.read_bytes() + tag + len(tag).to_bytes(4, "big"))
    with MediaFile(path) as media:
        assert not media.header.has_audio
        assert sum(1 for _ in media.frames()) == 2500


def test_what_is_no_file_or_no_media_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(MissingMediaError, match=r"none\.mp4: no such file"):
        MediaFile(tmp_path / "none.mp4")
    with pytest.raises(MissingMediaError, match="is a folder, not a file"):
        MediaFile(tmp_path)
    (tmp_path / "empty.mp4").touch()
    asked: list[Callable[[MediaFile], object]] = [
        lambda media: media.header,
        lambda media: media.display,
        lambda media: media.sound_delay_s,
        lambda media: media.samples(),
        lambda media: next(media.frames()),
    ]
    for ask in asked:
        with MediaFile(tmp_path / "empty.mp4") as media, pytest.raises(CorruptMediaError, match=r"empty\.mp4: cannot"):
            ask(media)
    for content, fault in ((b"", "it is empty"), (b"no media", "it is no media file, or is damaged")):
        (tmp_path / "text.mp4").write_bytes(content)
        with (
            MediaFile(tmp_path / "text.mp4") as media,
            pytest.raises(CorruptMediaError, match=rf"text\.mp4: cannot be opened: {fault}"),
        ):
            assert media.header
    with wave.open(str(tmp_path / "zero.wav"), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
    with (
        MediaFile(tmp_path / "zero.wav") as media,
        pytest.raises(CorruptMediaError, match=r"zero\.wav: its audio is empty"),
    ):
        media.samples()


def test_sound_without_picture_and_picture_without_sound(tmp_path: Path) -> None:
    write_frames(tmp_path / "mute.mp4", 3, 25)
    with MediaFile(tmp_path / "mute.mp4") as mute:
        assert (mute.header.has_audio, mute.sound_delay_s) == (False, 0)
        with pytest.raises(NoAudioError):
            mute.samples()
    with av.open(str(tmp_path / "s.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 100), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    with MediaFile(tmp_path / "s.wav") as sound:
        assert (sound.header.fps, sound.header.num_frames, sound.sound_delay_s) == (None, 0, 0)
        for ask in (lambda: sound.fps, lambda: sound.encoding, lambda: sound.display, lambda: next(sound.frames())):
            with pytest.raises(NoVideoError, match=r"s\.wav: has no video"):
                ask()


@pytest.mark.parametrize(("tags", "kind"), [((b"mp4a", b"esds"), "audio"), ((b"avc1",), "video")])
def test_a_stream_in_no_known_format_is_refused_when_it_is_read(
    speaking: Path, tags: tuple[bytes, ...], kind: str
) -> None:
    content = speaking.read_bytes()
    for tag in tags:
        assert tag in content
        content = content.replace(tag, b"zzzz")
    speaking.write_bytes(content)
    with MediaFile(speaking) as media:
        assert media.header.fps is not None and media.header.has_audio
        read = {"audio": media.samples, "video": lambda: list(media.frames())}
        with pytest.raises(CorruptMediaError, match=f"its {kind} stream has an unknown codec"):
            read.pop(kind)()
        (read_other,) = read.values()
        assert len(read_other()) > 0


def test_a_closed_file_is_not_read(speaking: Path) -> None:
    with MediaFile(speaking) as media:
        pass
    with pytest.raises(ValueError, match="closed file"):
        media.samples()
