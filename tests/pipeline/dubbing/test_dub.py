"""Whole dubs of small videos: length, rate, size, missing faces, batches and references."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from pipeline.cli.dub_texts import summary_line
from pipeline.core.errors import DataError
from pipeline.dubbing.dub import dub_file, regenerate
from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.settings import DubSettings
from pipeline.dubbing.timing import OutputTiming
from pipeline.faces.any_roll import AnyRollDetector
from pipeline.faces.detector import YuNetDetector
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.media.writer import VideoWriter
from tests.support.drawn_face import draw_face
from tests.support.dub_runs import FACE, FOLLOW, Draw, darken, followed, run
from tests.support.dub_scenes import HEIGHT, WIDTH, ScriptedDetector, picture
from tests.support.media_readers import display_of, header_of, read_frames, read_native_samples, sound_format_of


@pytest.mark.parametrize("fps", [25, 30, Fraction(30000, 1001), 12.5])
@pytest.mark.parametrize("seconds", [0.41, 1.3])
def test_length_is_the_sounds_and_rate_and_size_are_the_videos(make_video, make_sound, tmp_path, fps, seconds):
    summary = run(make_video(20, fps), make_sound(seconds, 44_100, channels=2), tmp_path / "out.mp4")
    header, display = header_of(tmp_path / "out.mp4"), display_of(tmp_path / "out.mp4")
    assert (display.width, display.height, header.fps) == (WIDTH, HEIGHT, Fraction(fps))
    assert sound_format_of(tmp_path / "out.mp4") == (44_100, 2)
    frames = read_frames(tmp_path / "out.mp4", None)
    assert len(frames) == summary.num_frames
    assert abs(len(frames) / fps - seconds) <= 0.5 / fps + 1e-9
    samples, rate_hz = read_native_samples(tmp_path / "out.mp4")
    assert seconds <= len(samples) / rate_hz < seconds + 1024 / rate_hz + 0.001
    assert summary.num_missing == 0


@pytest.mark.parametrize(("num_video", "seconds"), [(20, 0.4), (10, 1.2)])
def test_length_of_the_video(make_video, make_sound, tmp_path, num_video, seconds):
    summary = run(make_video(num_video), make_sound(seconds), tmp_path / "out.mp4", length="video")
    assert summary.num_frames == num_video
    assert len(read_frames(tmp_path / "out.mp4", None)) == num_video


@pytest.mark.parametrize(("length", "num_watched"), [("audio", 10), ("video", 20)])
def test_only_frames_that_are_shown_are_searched_for_a_face(make_video, make_sound, tmp_path, length, num_watched):
    detector = ScriptedDetector(every=[FACE])
    run(make_video(20), make_sound(0.4), tmp_path / "out.mp4", detector=detector, length=length)
    assert detector.calls == num_watched


@pytest.mark.parametrize(("fill", "expected"), [("pingpong", 5), ("loop", 3)])
def test_a_short_video_goes_on(make_video, make_sound, tmp_path, fill, expected):
    run(
        make_video(10),
        make_sound(15 / 25),
        tmp_path / "out.mp4",
        fill=fill,
        detector=ScriptedDetector(),
        on_missing="keep",
    )
    shown = read_frames(tmp_path / "out.mp4", None)[13].astype(float)
    distances = [np.abs(shown - picture(k)).mean() for k in range(10)]
    assert int(np.argmin(distances)) == expected


@pytest.mark.parametrize(("length", "last"), [("audio", "15 of 15 frames"), ("video", "20 frames")])
def test_a_live_recording_does_not_say_how_long_it_is(make_sound, tmp_path, length, last, caplog, monkeypatch):
    monkeypatch.setattr("pipeline.report.progress.LOG_EVERY_S", 0.0)
    live = tmp_path / "live.webm"
    with av.open(str(live), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="bgr24")))
        container.mux(stream.encode())
    assert header_of(live).num_frames == 0
    caplog.set_level(logging.INFO)
    settings = DubSettings(follow=FOLLOW, length=length)
    detectors = [ScriptedDetector(every=[FACE])]
    dub_file(live, make_sound(0.6), tmp_path / "out.mp4", darken, lambda side: detectors, settings)
    finding = [message for message in caplog.messages if message.startswith("detecting faces: ")]
    assert finding[-1].removeprefix("detecting faces: ").split(", ")[0] == last


def test_frames_without_a_face_pass_through_and_are_counted(make_video, make_sound, tmp_path):
    seen = {k: [FACE] for k in range(24) if not 8 <= k < 16}
    summary = run(make_video(24), make_sound(0.96), tmp_path / "out.mp4", detector=ScriptedDetector(seen))
    assert summary.num_missing == 8
    frames = read_frames(tmp_path / "out.mp4", None)
    untouched = np.stack([picture(k) for k in range(24)])
    is_kept = np.abs(frames.astype(int) - untouched)[:, 48:62, 50:70].mean(axis=(1, 2, 3)) < 10
    assert np.flatnonzero(is_kept).tolist() == list(range(8, 16))


@pytest.mark.parametrize(
    ("geometry", "width", "height", "crop_px"),
    [("square", 1.06 * 72, 1.06 * 72, 96), ("square", 1.06 * 72, 1.06 * 72, 192), ("box", 48, 72, 96)],
)
def test_a_mouth_is_pasted_where_its_generators_crops_come_from(
    make_video, make_sound, tmp_path, geometry, width, height, crop_px
):
    """The detector's box is 48 px wide and 72 high. A box crop of it is stretched, and squeezed again when pasted."""
    x0, y0, detector = 40.0, 12.0, ScriptedDetector(every=[[40.0, 12, 88, 84]])
    face, audio, shown = make_video(6), make_sound(0.24), []
    for brightness in (0, 255):

        @Draw
        def mark(crops, windows, references, brightness=brightness):
            assert crops.shape == references.shape == (6, crop_px, crop_px, 3)
            drawn, unit = np.full_like(crops, 128), crop_px // 96
            drawn[:, 64 * unit : 80 * unit, 40 * unit : 56 * unit] = brightness
            return drawn

        mark.geometry, mark.crop_px = geometry, crop_px
        run(face, audio, tmp_path / "out.mp4", draw=mark, detector=detector)
        shown.append(read_frames(tmp_path / "out.mp4", None).astype(float).mean(axis=(0, 3)))
    rows, columns = np.nonzero(shown[1] - shown[0] > 127)
    found = [np.ptp(columns) + 1, np.ptp(rows) + 1, columns.mean() + 0.5, rows.mean() + 0.5]
    np.testing.assert_allclose(found, [width / 6, height / 6, x0 + 24, y0 + 0.75 * height], atol=1)


@pytest.mark.parametrize("roll", [0, 25, -40, 60, 90, 135, 180, -90])
def test_a_mouth_is_painted_on_the_mouth_of_a_rolled_face(make_sound, tmp_path, roll):
    """The real detector; the generator marks the middle of the mouth, which is dark in the drawn face."""
    face, size = tmp_path / "face.mp4", 160
    turn = cv2.getRotationMatrix2D((79.5, 79.5), -roll, 1)
    rolled = cv2.warpAffine(draw_face(80, 76), turn, (size, size), borderValue=(120, 110, 100))
    with VideoWriter(face, 25, (size, size)) as writer:
        for _ in range(8):
            writer.write(rolled)

    @Draw
    def mark(crops, windows, references):
        drawn = crops.copy()
        drawn[:, 68:76, 44:52] = (0, 255, 0)
        return drawn

    run(face, make_sound(0.32), tmp_path / "out.mp4", draw=mark, detector=AnyRollDetector(YuNetDetector(max_px=160)))
    shown = read_frames(tmp_path / "out.mp4", None)[3].astype(float)
    rows, columns = np.nonzero(np.abs(shown - rolled).sum(axis=2) > 200)
    assert len(rows) > 20
    expected = turn @ [80, 76 + 0.52 * 44, 1]
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=8)


def test_missing_faces_can_stop_it(make_video, make_sound, tmp_path):
    seen = {k: [FACE] for k in range(10)}
    with pytest.raises(DataError, match=r"10 of 20 frames of the output, first at 0\.40 s; use --on-missing keep"):
        run(make_video(20), make_sound(0.8), tmp_path / "out.mp4", detector=ScriptedDetector(seen), on_missing="error")
    assert not (tmp_path / "out.mp4").exists()


def test_nobody_in_the_video_stops_it_unless_that_is_asked_for(make_video, make_sound, tmp_path):
    face, audio, out = make_video(20), make_sound(0.8), tmp_path / "out.mp4"
    with pytest.raises(DataError, match=r"no face to dub in any of 20 frames"):
        run(face, audio, out, detector=ScriptedDetector())
    assert not out.exists()
    assert run(face, audio, out, detector=ScriptedDetector(), on_missing="keep").num_missing == 20
    for num_frames, where in ((10, "any of 10 frames"), (1, "its only frame")):
        with pytest.raises(DataError, match=f"no face to dub in {where}; if one is visible"):
            run(make_video(num_frames, name="short.mp4"), audio, out, detector=ScriptedDetector())


def test_the_summary_has_the_written_size(make_sound, tmp_path):
    odd = tmp_path / "odd.avi"
    with av.open(str(odd), "w") as container:
        stream = container.add_stream("rawvideo", rate=25, width=WIDTH - 1, height=HEIGHT - 1, pix_fmt="bgr24")
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture(index)[1:, 1:]), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    summary = run(odd, make_sound(0.2), tmp_path / "out.mp4")
    display = display_of(tmp_path / "out.mp4")
    assert (summary.width, summary.height) == (display.width, display.height) == (WIDTH, HEIGHT)


def test_the_summary_tells_what_is_missing_in_the_inputs(make_sound, tmp_path):
    face, audio = tmp_path / "face.avi", make_sound(0.8)
    with av.open(str(face), "w") as container:
        stream = container.add_stream("rawvideo", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="bgr24")
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="bgr24")))
        container.mux(stream.encode())
    assert run(face, audio, tmp_path / "out.mp4").notes == ()
    for path in (face, audio):
        content = path.read_bytes()
        path.write_bytes(content[: round(0.9 * len(content))])
    summary = run(face, audio, tmp_path / "out.mp4")
    cut_off = "is cut off: it has 90% of the bytes that its header states"
    assert list(summary.notes) == [
        f"{face}: {cut_off}",
        f"{face}: skipped 1 of 19 video packets",
        f"{audio}: {cut_off}",
    ]
    assert summary_line(summary).count("\nnote: ") == 3
    assert "detector_max_px" not in summary_line(summary)
    assert "raise preprocess.detector_max_px" in summary_line(replace(summary, num_missing=3))


@pytest.mark.parametrize(("rotation", "expected"), [(0, Fraction(16, 11)), (90, Fraction(11, 16))])
def test_pixels_that_are_not_square_keep_their_shape(make_sound, tmp_path, rotation, expected):
    wide = tmp_path / "wide.mp4"
    with av.open(str(wide), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        stream.set_display_rotation(rotation)
        for index in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="bgr24")))
        container.mux(stream.encode())
    run(wide, make_sound(0.2), tmp_path / "out.mp4")
    assert display_of(wide).pixel_aspect == display_of(tmp_path / "out.mp4").pixel_aspect == expected


@pytest.mark.parametrize("batch_frames", [1, 3, 32])
def test_the_batch_does_not_matter_and_each_frame_hears_its_own_time(batch_frames):
    voice = ExtractedAudio(
        np.random.default_rng(4).uniform(-4, 4, (80, 80)).astype(np.float32), np.zeros(16_000, np.int16)
    )
    boxes = np.tile(np.array([[30.2, 10.1, 90.4, 70.3]]), (10, 1)) + np.linspace(0, 60, 10)[:, None] * [0, 0, 1, 1]
    boxes[4] = np.nan

    @Draw
    def mix(crops, windows, references):
        mouths = (crops.astype(float) + references) / 2 + 10 * windows.mean(axis=(1, 2))[:, None, None, None]
        return np.clip(mouths, 0, 255).astype(np.uint8)

    def shown():
        return ((k, picture(k)) for k in [*range(10), *range(8, 0, -1)])

    one = list(regenerate(shown(), followed(boxes), voice, OutputTiming(Fraction(30), 18), mix, 18))
    parts = list(regenerate(shown(), followed(boxes), voice, OutputTiming(Fraction(30), 18), mix, batch_frames))
    assert [k for k, _ in parts] == [*range(10), *range(8, 0, -1)]
    for (_, a), (_, b) in zip(one, parts, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(parts[4][1], picture(4))
    assert (parts[8][1] != parts[10][1]).any()  # the same picture at another time


@pytest.mark.parametrize("reference", ["first", "same"])
def test_the_reference_is_the_shots_first_crop_unless_told_otherwise(reference):
    seen = []

    @Draw
    def watch(crops, windows, references):
        seen.append((crops, references))
        return crops

    calm = np.repeat(picture(0)[None], 6, axis=0) + np.arange(6, dtype=np.uint8)[:, None, None, None]
    boxes = np.tile(np.array([[30.0, 10, 90, 70]]), (6, 1))
    list(
        regenerate(
            enumerate(calm),
            followed(boxes),
            ExtractedAudio.silent(16_000),
            OutputTiming(Fraction(25), 6),
            watch,
            4,
            reference,
        )
    )
    crops, references = (np.concatenate(part) for part in zip(*seen, strict=True))
    expected = crops if reference == "same" else np.repeat(crops[:1], 6, axis=0)
    np.testing.assert_array_equal(references, expected)
    assert (crops[5] != crops[0]).any()


@pytest.mark.parametrize("order", [range(6), range(5, -1, -1)])
def test_the_reference_shows_the_face_that_is_dubbed(order):
    """The faces of both persons are alike, so that only the paths differ."""
    seen = []

    @Draw
    def watch(crops, windows, references):
        seen.append((crops, references))
        return crops

    boxes = np.tile(np.array([[30.0, 10, 90, 70]]), (6, 1))
    two_faces = Followed(boxes, np.zeros(6), (), np.array([0, 0, 0, 1, 1, 1]))
    shown = ((k, picture(0) + np.uint8(k)) for k in order)
    voice, timing = ExtractedAudio.silent(16_000), OutputTiming(Fraction(25), 6)
    list(regenerate(shown, two_faces, voice, timing, watch, 4))
    crops, references = (np.concatenate(part) for part in zip(*seen, strict=True))
    np.testing.assert_array_equal(references, np.repeat(crops[[0, 3]], 3, axis=0))


def test_a_near_face_is_as_sharp_beside_a_distant_one_as_alone():
    """The crops of each face path have the sampling density of its own boxes."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 400, 400, 3), np.uint8)
    near, distant = np.tile([[10.0, 10, 390, 390]], (2, 1)), np.tile([[5.0, 5, 95, 95]], (4, 1))
    voice, timing = ExtractedAudio.silent(16_000), OutputTiming(Fraction(25), 6)

    def crops(boxes, paths):
        seen = []

        @Draw
        def watch(crops, windows, references):
            seen.append(crops)
            return crops

        faces = Followed(boxes, np.zeros(6), (), np.array(paths))
        list(regenerate(enumerate(frames), faces, voice, timing, watch, 4))
        return np.concatenate(seen)

    nobody = np.full((4, 4), np.nan)
    both = crops(np.concatenate([near, distant]), [0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(both[:2], crops(np.concatenate([near, nobody]), [0, 0, -1, -1, -1, -1]))
    np.testing.assert_array_equal(both[2:], crops(np.concatenate([nobody[:2], distant]), [-1, -1, 1, 1, 1, 1]))


def test_a_cut_ends_what_the_reference_shows_though_the_faces_are_alike(make_sound, tmp_path):
    face, shown = tmp_path / "cut.mp4", []
    with VideoWriter(face, 25, (WIDTH, HEIGHT)) as writer:
        for index in range(20):
            writer.write(np.full((HEIGHT, WIDTH, 3), 100 if index < 12 else 115, np.uint8))

    @Draw
    def watch(crops, windows, references):
        shown.extend(references.mean(axis=(1, 2, 3)))
        return crops

    run(face, make_sound(0.8), tmp_path / "out.mp4", draw=watch)
    np.testing.assert_allclose(shown, [100] * 12 + [115] * 8, atol=2)
