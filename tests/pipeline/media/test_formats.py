"""Files that name others, files that are cut off, and pictures of uncommon formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from pipeline.media.container import demux
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
from tests.support.grey_videos import SIZE, grey, write_frames
from tests.support.media_readers import display_of, iter_frames, read_frames


def write_picture(path: Path, image: np.ndarray, codec: str, pix_fmt: str, num: int = 1) -> None:
    """An image file, or frames of an animation."""
    container_format = {"mjpeg": "image2", "png": "image2", "tiff": "image2", "bmp": "image2"}.get(codec)
    options = {"update": "1"} if container_format else {}
    with av.open(str(path.with_name("picture")), "w", format=container_format or codec, options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], pix_fmt
        for _ in range(num):
            frame = av.VideoFrame.from_ndarray(image, format="bgra" if image.shape[2] == 4 else "bgr24")
            container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.mux(stream.encode(None))
    path.with_name("picture").rename(path)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ffconcat", "clip.wav", "clip"])
@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>\n',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_file_that_names_others_is_refused(tmp_path: Path, name: str, content: str) -> None:
    write_frames(tmp_path / "other.mp4", 3)
    (tmp_path / name).write_text(content)
    with MediaFile(tmp_path / name) as media, pytest.raises(CorruptMediaError, match=r"cannot be opened|neither"):
        _ = media.header


@pytest.mark.parametrize(("codec", "pix_fmt", "suffix"), [("png", "rgb24", ".png"), ("mjpeg", "yuvj420p", ".jpg")])
@pytest.mark.parametrize("name", ["face%02d", "face*", "face[0-9]", "50% off, really", "http:face"])
def test_names_are_literal(tmp_path: Path, codec: str, pix_fmt: str, suffix: str, name: str) -> None:
    for other in ("face01", "face02", "face1"):
        write_picture(tmp_path / f"{other}{suffix}", grey(200), codec, pix_fmt)
    write_picture(tmp_path / f"{name}{suffix}", grey(40, (32, 16)), codec, pix_fmt)
    (image,) = read_frames(tmp_path / f"{name}{suffix}")
    assert image.shape == (16, 32, 3)
    np.testing.assert_allclose(image, 40, atol=8)


def speaking(path: Path, **sound_options: object) -> bytes:
    """A film of 3 s, or its sound; returns its bytes."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        is_film = path.suffix != ".wav"
        if is_film:
            video = container.add_stream("mpeg4" if path.suffix in (".avi", ".mkv") else "flv1", rate=25)
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=44_100, layout="mono")
        for number in range(75):
            if is_film:
                noise = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
            block = rng.integers(-9000, 9000, (1, 1764), np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 44_100, 1764 * number
            container.mux(sound.encode(frame))
        if is_film:
            container.mux(video.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".flv", ".wav"])
def test_a_file_that_is_cut_off_says_how_much_is_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"whole{suffix}"
    content = speaking(path)
    for share, is_refused in ((1.0, False), (0.9, False), (0.5, True)):
        path.write_bytes(content[: round(share * len(content))])
        with MediaFile(path) as media:
            if is_refused:
                with pytest.raises(CorruptMediaError, match=r"is cut off(: it has 50% of| after 1\.\d\d of 3\.\d)"):
                    list(media.frames()) if suffix != ".wav" else media.samples()
                continue
            num_samples = len(media.samples(44_100))
            if suffix != ".wav":
                list(media.frames())
            assert num_samples == pytest.approx(3 * share * 44_100, rel=0.05)
            assert bool(media.notes) == (share < 1), media.notes
            assert all("cut off" in note or "skipped" in note for note in media.notes)


def test_a_film_whose_sound_ends_late_is_whole(tmp_path: Path) -> None:
    """Matroska states the length of the longest stream."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        container.mux(video.encode(av.VideoFrame.from_ndarray(grey(100), format="bgr24")))
        container.mux(video.encode(None))
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 1600 * number
            container.mux(sound.encode(frame))
    with MediaFile(path) as media:
        assert len(list(media.frames())) == 1
        assert media.notes == ()


@pytest.mark.parametrize("codec", ["png", "tiff"])
def test_transparent_pixels_are_black(tmp_path: Path, codec: str) -> None:
    image = np.full((48, 64, 4), 200, np.uint8)
    image[..., 3] = [[255] * 32 + [0] * 31 + [128]] * 48
    pix_fmt = "rgba"
    write_picture(tmp_path / f"cut.{codec}", image, codec, pix_fmt)
    with MediaFile(tmp_path / f"cut.{codec}") as media:
        (shown,) = [frame.image for frame in media.frames(25)]
        assert media.notes == ("its transparent pixels are shown on black",)
    np.testing.assert_array_equal(shown[20, [0, 31, 32, 62, 63], 0], [200, 200, 0, 0, 100])


def test_a_gif_of_one_picture_is_a_picture_at_25_fps(tmp_path: Path) -> None:
    write_picture(tmp_path / "one.gif", grey(96), "gif", "rgb8")
    frames = list(iter_frames(tmp_path / "one.gif", 25))
    assert len(frames) == 1 and frames[0].image.shape == (48, 64, 3)
    with MediaFile(tmp_path / "one.gif") as media:
        assert media.fps == 25
    assert display_of(tmp_path / "one.gif").width == 64


def test_an_error_of_ffmpeg_names_the_file_and_no_other(tmp_path: Path) -> None:
    """FFmpeg has a name of its own for the open file. A damaged length makes it ask for too much memory."""

    class Damaged:
        def demux(self) -> Iterator[object]:
            raise av.error.FFmpegError(12, "Cannot allocate memory", "media.mp4")
            yield

    with pytest.raises(CorruptMediaError, match=r"v\.mp4: reading failed: Cannot allocate memory \[corrupt\]"):
        list(demux(Damaged(), None, tmp_path / "v.mp4"))
