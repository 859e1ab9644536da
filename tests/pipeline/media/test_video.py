"""Reading video: timing, orientation, sizes, colour, damage."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.container import VIDEO_SUFFIXES
from pipeline.media.errors import CorruptMediaError, MissingMediaError, NoVideoError
from pipeline.media.writer import VideoWriter
from tests.support.grey_videos import SIZE, grey, levels, write_frames
from tests.support.media_readers import display_of, header_of, iter_frames, read_frames, read_samples


def write_timed(path: Path, times_ms: Sequence[int], rotation: int = 0, stated_fps: int = 25) -> None:
    """Frame k, painted 10 k, at times_ms[k]; a variable frame rate if they are uneven."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=stated_fps, options={"crf": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(grey(10 * number), format="bgr24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_every_frame_comes_with_its_own_time(tmp_path: Path) -> None:
    write_timed(tmp_path / "v.mp4", [0, 40, 100, 230])
    frames = list(iter_frames(tmp_path / "v.mp4"))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.1, 0.23])
    assert levels([frame.image for frame in frames]) == [0, 1, 2, 3]
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].image.dtype == np.uint8


@pytest.mark.parametrize(
    ("times_ms", "fps", "expected"),
    [
        ([0, 40, 80, 120], 25, [0, 1, 2, 3]),
        ([0, 20, 40, 60, 80, 100], 25, [0, 2, 4]),
        ([0, 40, 80], 50, [0, 0, 1, 1, 2, 2]),  # of two equally near the earlier
        ([0, 33, 67, 100, 133, 167], 25, [0, 1, 2, 4, 5]),  # 30 fps: nearest to 0, 40, 80, 120, 160
        ([0, 40, 200, 240], 25, [0, 1, 1, 1, 2, 2, 3]),  # three frames lost: neighbours fill in
    ],
)
def test_resampling_takes_the_nearest_frame_in_time(
    tmp_path: Path, times_ms: list[int], fps: int, expected: list[int]
) -> None:
    write_timed(tmp_path / "v.mp4", times_ms)
    frames = list(iter_frames(tmp_path / "v.mp4", fps))
    found = levels([frame.image for frame in frames])
    assert found[: len(expected)] == expected
    assert len(found) - len(expected) <= 1  # the last frame's own length is the encoder's guess
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(len(frames)) / fps)


def test_a_time_stamp_far_ahead_is_damage_not_hours_of_one_picture(tmp_path: Path) -> None:
    write_timed(tmp_path / "v.mkv", [0, 40, 3 * 3600 * 1000, 3 * 3600 * 1000 + 40])
    with pytest.raises(CorruptMediaError, match=r"v\.mkv: its video has a gap of 10800 s"):
        read_frames(tmp_path / "v.mkv", 25)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("num_between", [0, 2])
def test_an_avi_shows_each_picture_once_and_the_first_at_once(tmp_path: Path, codec: str, num_between: int) -> None:
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": str(num_between)})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(grey(10 * number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    own = list(iter_frames(tmp_path / "v.avi"))
    assert [frame.time_s for frame in own] == pytest.approx(np.arange(20) / 25)
    shown = levels([frame.image for frame in own])
    assert np.abs(np.array(shown) - np.arange(20)).max() <= 1  # MPEG-4 is coarse
    taken = read_frames(tmp_path / "v.avi")
    assert levels(list(taken)) == shown


def test_recordings_joined_byte_by_byte_are_refused_not_read_halfway(tmp_path: Path) -> None:
    write_frames(tmp_path / "v.mp4", 25, 12.5, np.full(32_000, 0.1, np.float32))
    with av.open(str(tmp_path / "v.mp4")) as read, av.open(str(tmp_path / "v.ts"), "w") as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    once = (tmp_path / "v.ts").read_bytes()
    assert len(read_frames(tmp_path / "v.ts")) == 50
    (tmp_path / "twice.ts").write_bytes(once + once)
    with pytest.raises(
        CorruptMediaError,
        match=r"twice\.ts: its video timestamps step back by 1\.9 s, .* several recordings were joined",
    ):
        read_frames(tmp_path / "twice.ts")
    with pytest.raises(CorruptMediaError, match=r"twice\.ts: its audio timestamps step back by 2\.\d s"):
        read_samples(tmp_path / "twice.ts")


def test_repeated_frames_do_not_share_memory(tmp_path: Path) -> None:
    write_timed(tmp_path / "v.mp4", [0, 40, 80])
    images = [frame.image for frame in iter_frames(tmp_path / "v.mp4", 50)]
    images[0][:] = 77
    assert levels(images[1:2]) == [0]


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_rotated_videos_are_read_upright(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    path = tmp_path / "r.mp4"
    image = grey(0)
    image[:16, :16] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.set_display_rotation(rotation)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    upright = next(iter_frames(path)).image
    assert upright.shape[:2] == ((48, 64) if rotation % 180 == 0 else (64, 48))
    assert (display_of(path).height, display_of(path).width) == upright.shape[:2]
    assert upright[corner[0] * -8 + 4 * (1 - corner[0]), corner[1] * -8 + 4 * (1 - corner[1])].mean() > 200


@pytest.mark.parametrize(
    ("aspect", "rotation", "shape"),
    [
        (Fraction(3, 2), 0, (48, 96)),
        (Fraction(3, 4), 0, (64, 64)),
        (Fraction(3, 2), 90, (96, 48)),
        (Fraction(201, 200), 0, (48, 64)),
        (Fraction(50), 0, (48, 64)),
    ],
)
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, rotation: int, shape: tuple[int, int]) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(grey(100), format="bgr24")))
        container.mux(stream.encode(None))
    assert next(iter_frames(tmp_path / "v.mp4", square_pixels=True)).image.shape == (*shape, 3)
    assert next(iter_frames(tmp_path / "v.mp4")).image.shape == ((64, 48, 3) if rotation else (48, 64, 3))


def test_a_recording_whose_size_changes_midway_keeps_its_first(tmp_path: Path) -> None:
    packets: list[tuple[bytes, bool]] = []
    for number, size in enumerate([SIZE, (32, 24)]):
        with av.open(str(tmp_path / "part.webm"), "w") as container:
            stream = container.add_stream("libvpx", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            encoded = stream.encode(av.VideoFrame.from_ndarray(grey(100 + 50 * number, size), format="bgr24"))
            packets += [(bytes(packet), packet.is_keyframe) for packet in [*encoded, *stream.encode(None)]]
    with av.open(str(tmp_path / "v.webm"), "w") as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        container.start_encoding()
        for number, (content, is_key) in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.is_keyframe = stream, is_key
            packet.pts = packet.dts = 40 * number
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    frames = read_frames(tmp_path / "v.webm")
    assert frames.shape == (2, 48, 64, 3)
    assert levels(list(frames)) == [10, 15]


@pytest.mark.parametrize(
    ("suffix", "container_format", "video_codec", "audio_codec"),
    [
        (".mts", "mpegts", "libx264", "ac3"),  # its clock begins at 1.4 s
        (".ts", "mpegts", "mpeg2video", "mp2"),
        (".3gp", "3gp", "libx264", "aac"),
        (".flv", "flv", "flv1", "libmp3lame"),
        (".wmv", "asf", "wmv2", "wmav2"),
        (".avi", "avi", "mpeg4", "libmp3lame"),
        (".mkv", "matroska", "libx264", "ac3"),
    ],
)
def test_picture_and_sound_of_any_container_keep_their_times(
    tmp_path: Path, suffix: str, container_format: str, video_codec: str, audio_codec: str
) -> None:
    """The picture is bright, and a tone is heard, from 0.4 to 0.6 s of one second."""
    path = tmp_path / f"v{suffix}"
    seconds = np.arange(48_000) / 48_000
    tone = np.where((seconds >= 0.4) & (seconds < 0.6), np.sin(2 * np.pi * 440 * seconds) / 2, 0).astype(np.float32)
    with av.open(str(path), "w", format=container_format) as container:
        pictures = container.add_stream(video_codec, rate=25, options={"bf": "0"})
        pictures.width, pictures.height, pictures.pix_fmt = *SIZE, "yuv420p"
        rate_hz = 44_100 if video_codec == "flv1" else 48_000
        sample_format = av.codec.Codec(audio_codec, "w").audio_formats[0].name
        sound = container.add_stream(audio_codec, rate=rate_hz, layout="mono", format=sample_format)
        sound.bit_rate = 64_000
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(grey(200 if 10 <= number < 15 else 50), format="bgr24")
            container.mux(pictures.encode(frame))
        samples = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        samples.sample_rate = 48_000
        for converted in av.AudioResampler(format=sample_format, layout="mono", rate=rate_hz).resample(samples):
            container.mux(sound.encode(converted))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    assert suffix in VIDEO_SUFFIXES
    bright = np.flatnonzero(read_frames(path).mean((1, 2, 3)) > 125)
    assert (bright[0], bright[-1]) == (10, 14)
    heard = np.flatnonzero(np.abs(read_samples(path)) > 0.1) / 16_000
    assert (heard[0], heard[-1]) == pytest.approx((0.4, 0.6), abs=0.045)  # WMA begins a block late


@pytest.mark.parametrize(
    "times_ms", [[0, 28, 71, 97, 138, 160, 204, 231, 267], [0, 33, 67, 100, 133, 167, 200, 233, 267]]
)
def test_a_clock_is_not_a_frame_rate(tmp_path: Path, times_ms: list[int]) -> None:
    """Browsers record about 30 frames a second, stamped in milliseconds, and state 1000 or nothing."""
    write_timed(tmp_path / "v.mkv", times_ms, stated_fps=1000)
    assert header_of(tmp_path / "v.mkv").fps == 30
    assert levels([frame.image for frame in iter_frames(tmp_path / "v.mkv", 30)][:8]) == list(range(8))


def test_a_path_that_looks_like_a_protocol_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "take:2 é.mp4", 2)
    monkeypatch.chdir(tmp_path)
    assert len(read_frames("take:2 é.mp4")) == 2


def test_read_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingMediaError, match=r"none\.mp4"):
        read_frames(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "s.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 100), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
    with pytest.raises(NoVideoError, match=r"s\.wav: has no video"):
        read_frames(tmp_path / "s.wav")
    assert header_of(tmp_path / "s.wav").fps is None
    write_frames(tmp_path / "v.mp4", 20)
    whole = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:200])
    with pytest.raises(CorruptMediaError, match=r"cut\.mp4: has neither video nor audio"):
        read_frames(tmp_path / "cut.mp4")
    media = whole.index(b"mdat") + 4
    (tmp_path / "bad.mp4").write_bytes(whole[:media] + np.random.default_rng(0).bytes(len(whole) - media))
    with pytest.raises(CorruptMediaError, match=r"bad\.mp4: none of its video frames can be decoded"):
        read_frames(tmp_path / "bad.mp4")
    with pytest.raises(ValueError, match="fps must be positive"):
        next(iter_frames(tmp_path / "v.mp4", 0))


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "v.mp4", 25, SIZE) as writer:
        for _ in range(60):
            writer.write(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8))
    whole = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CorruptMediaError, match=r"cut off after 1\.\d+ of 2\.40 s"):
        read_frames(tmp_path / "cut.mp4")


def test_real_clips_of_every_kind_have_their_frames(shared_data: Path) -> None:
    for name, shape in {
        "grid/s26/lbbo3n.mpg": (75, 288, 360, 3),
        "grid/s1/lwwm2p.mp4": (75, 288, 360, 3),
        "wild/hq_bbaf2a.mpg": (75, 576, 720, 3),  # four frames are missing in the file
    }.items():
        frames = read_frames(shared_data / name)
        assert frames.shape == shape
        assert len(frames) == 75
        assert 60 < frames.mean() < 160


@pytest.mark.parametrize(("size", "meant"), [((720, 576), 5), ((1280, 720), 1), ((640, 640), 1)])
def test_colours_that_a_file_does_not_define_are_read_as_players_read_them(
    tmp_path: Path, size: tuple[int, int], meant: int
) -> None:
    """5 is BT.601, 1 is BT.709; they differ by 25 levels of this green."""
    image = np.broadcast_to(np.array([60, 200, 60], np.uint8), (size[1], size[0], 3))
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=meant)))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert next(container.decode(video=0)).colorspace == 2  # not stated
    assert np.abs(read_frames(tmp_path / "v.mp4")[0].astype(int) - image).max() <= 3
