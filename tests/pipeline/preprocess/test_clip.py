from __future__ import annotations

import builtins
import io
import os
import weakref
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import cv2
import fsspec
import numpy as np
import pytest

from pipeline.corpora.manifest import ClipRecord, record_of
from pipeline.corpora.storage import NoDriverError, OutageError
from pipeline.faces.crops import resized_crops
from pipeline.features.alignment import num_frames_of
from pipeline.media.file import MediaFile
from pipeline.media.mjpeg import decode_mjpeg
from pipeline.media.writer import VideoWriter
from pipeline.preprocess import clip as clip_module
from pipeline.preprocess import footage, segments
from pipeline.preprocess.clip import process_clip
from pipeline.preprocess.reasons import Reason
from pipeline.shards.clip import Clip, clip_rng
from pipeline.shards.index import Reject
from pipeline.shards.write import ClipSample, _members
from tests.support.drawn_face import draw_face, tone
from tests.support.processed_clips import ANYWHERE, EMPTY, reject_of, sample_of
from tests.support.sound_files import make_undecodable, write_video


def hearing(monkeypatch: pytest.MonkeyPatch, samples: np.ndarray) -> None:
    monkeypatch.setattr(MediaFile, "samples", lambda media: samples)


def test_a_good_clip_becomes_a_sample(make_clip, params, repo_root) -> None:
    sample = sample_of(make_clip("s1/a", num_frames=30), params)
    assert sample.num_frames == 30
    assert num_frames_of(len(sample.audio)) == 30
    assert sample.mel.shape == (1 + len(sample.audio) // 200, 80)
    assert sample.mel.max() > 0
    crops = decode_mjpeg(sample.frames_mjpeg, sample.frame_bytes)
    context = decode_mjpeg(sample.context_mjpeg, sample.context_bytes)
    assert crops.shape == (30, 96, 96, 3)
    assert context.shape == (30, 160, 160, 3)
    assert (sample.transcript, sample.source) == ("some words", "a.mp4")
    assert sample.stats["face_px"] == pytest.approx(88, rel=0.1)
    assert all(np.isfinite(value) for value in sample.stats.values())
    documented = (repo_root / "docs" / "data.md").read_text()
    assert [name for name in sample.stats if f"\n| `{name}` | " not in documented] == []


def test_the_mouth_is_in_the_lower_half_and_stays_where_it_is(make_clip, params) -> None:
    sample = sample_of(make_clip(num_frames=40), params)
    crops = decode_mjpeg(sample.frames_mjpeg, sample.frame_bytes).astype(int).sum(axis=3)
    places = []
    for crop in crops:
        rows, columns = np.nonzero(crop[40:, 24:72] < 200)  # the dark inside of the mouth
        places.append((rows.mean() + 40, columns.mean() + 24))
    places = np.array(places)
    assert (places[:, 0] > 58).all()
    assert (places[:, 0] < 82).all()
    # The head sways by 12 px, which is 13 px in the crop.
    assert places.std(axis=0).max() < 0.7


def test_the_face_crop_is_found_again_inside_the_context_crop(make_clip, params) -> None:
    sample = sample_of(make_clip(), params)
    boxes = sample.crop_in_context
    assert (boxes >= -1e-6).all()
    assert (boxes <= 160 + 1e-6).all()
    assert np.ptp(boxes, axis=0).max() < 1e-6


def test_crops_of_either_geometry_can_be_cut_out_of_the_context(make_clip, params) -> None:
    """Both geometries give the same context crops; from them, each gives nearly the crops that the other one stores."""
    record = make_clip()
    square, box = (sample_of(record, params.model_copy(update={"crop": crop})) for crop in ("square", "box"))
    assert (square.crop, box.crop) == ("square", "box")
    assert square.context_mjpeg == box.context_mjpeg
    width, height = np.median(box.crop_in_context[:, 2:] - box.crop_in_context[:, :2], axis=0)
    assert 0.6 < width / height < 0.9
    for stored, other in ((square, box), (box, square)):
        clip = Clip(stored.key, "", _members(stored), clip_rng(0, 0, stored.key))
        again = clip.recut(other.crop)
        assert (clip.geometry, again.geometry) == (stored.crop, other.crop)
        np.testing.assert_allclose(again.crop_in_context, other.crop_in_context, atol=1e-3)
        direct = decode_mjpeg(other.frames_mjpeg, other.frame_bytes).astype(int)
        assert np.abs(again.crops() - direct).mean() < 3 < 8 < np.abs(clip.crops() - direct).mean()


def test_the_clip_ends_with_its_sound(make_clip, params, monkeypatch) -> None:
    record = make_clip(num_frames=40)
    hearing(monkeypatch, tone(35.3 / 25))
    sample = sample_of(record, params)
    assert sample.num_frames == 36
    assert len(sample.audio) == 36 * 640
    assert (sample.audio[round(35.3 * 640) + 1 :] == 0).all()


def test_the_clip_begins_with_its_sound(make_clip, params, tmp_path) -> None:
    good = Path(make_clip(num_frames=60).path)
    late = tmp_path / "late.mkv"
    with av.open(str(good)) as read, av.open(str(late), "w") as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                delay = round(0.3 / packet.time_base)
                packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
            packet.stream = streams[packet.stream.index]
            written.mux(packet)
    sample = sample_of(record_of("late", "s", "train", late, ""), params)
    # AAC comes 64 ms early, with an empty block: at 0.236 s, within frame 5.
    assert sample.num_frames == 60 - 5
    assert np.flatnonzero(np.abs(sample.audio) > 3000)[0] == pytest.approx((0.3 - 5 / 25) * 16_000, abs=100)


def test_sound_that_cannot_be_decoded_or_is_not_finite_rejects_the_clip(params, tmp_path) -> None:
    sound = tone(1.0)[:, None]
    write_video(tmp_path / "spatial.mov", [sound])
    make_undecodable(tmp_path / "spatial.mov")
    write_video(tmp_path / "bad.mkv", [np.full_like(sound, np.nan)], codec="pcm_f32le")
    rejects = [
        reject_of(record_of("a", "s", "train", tmp_path / name, ""), params) for name in ("spatial.mov", "bad.mkv")
    ]
    assert [reject.reason for reject in rejects] == ["broken_audio", "silent_audio"]


def test_a_clip_with_several_tracks_has_the_sound_of_its_default_one(params, tmp_path) -> None:
    path = tmp_path / "several.mkv"
    frames = [draw_face(80 + 6 * np.sin(k / 8), 80) for k in range(30)]
    sound = tone(30 / 25)[:, None]
    write_video(path, [0.1 * sound, sound], default=1, frames=frames)
    assert sample_of(record_of("c", "s", "train", path, ""), params).stats["audio_rms"] == pytest.approx(
        float(np.sqrt(np.mean(sound**2))), rel=0.05
    )


def test_a_long_clip_is_decoded_again_instead_of_held(make_clip, params, monkeypatch) -> None:
    record = make_clip()
    held = sample_of(record, params)
    monkeypatch.setattr(footage, "MAX_HELD_BYTES", 10 * EMPTY.nbytes)
    again = sample_of(record, params)
    assert again.frames_mjpeg == held.frames_mjpeg
    assert again.context_mjpeg == held.context_mjpeg


def test_a_clip_that_is_too_large_to_hold_is_not_held_again(make_clip, monkeypatch) -> None:
    monkeypatch.setattr(footage, "MAX_HELD_BYTES", 10 * EMPTY.nbytes)
    most_alive = []
    with MediaFile(make_clip().path) as media:
        clip = footage.Footage(media)
        for _ in range(2):
            images: list[weakref.ref[np.ndarray]] = []
            num_alive = []
            for image in clip:
                images.append(weakref.ref(image))
                num_alive.append(sum(one() is not None for one in images))
            most_alive.append(max(num_alive))
    assert most_alive[0] > 8 and most_alive[1] <= 3


@pytest.mark.parametrize("max_held_bytes", [400_000_000, 10 * EMPTY.nbytes])
def test_a_clip_is_opened_once(make_clip, params, monkeypatch, max_held_bytes: int) -> None:
    record = make_clip()
    monkeypatch.setattr(footage, "MAX_HELD_BYTES", max_held_bytes)
    opened: list[str] = []

    def count(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def counted(file: object, *arguments: object, **options: object) -> object:
            if isinstance(file, str | bytes | os.PathLike) and os.fsdecode(file) == record.path:
                opened.append(f"{module.__name__}.{name}")
            return real(file, *arguments, **options)

        monkeypatch.setattr(module, name, counted)

    for module in (io, os, builtins, av):
        count(module, "open")
    assert sample_of(record, params).num_frames == 30
    assert opened == ["io.open"]


def test_a_small_face_is_found_by_looking_closer(make_clip, params) -> None:
    wide = [np.pad(draw_face(80, 80, half=16), ((200, 200), (400, 0), (0, 0)), mode="edge") for _ in range(26)]
    close = params.model_copy(update={"detector_max_px": 140, "min_face_px": 0})
    assert sample_of(make_clip(frames=wide), close).stats["face_px"] == pytest.approx(32, rel=0.25)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_face_on_its_side_or_upside_down_is_rejected(make_clip, params, turns: int) -> None:
    """YuNet finds it and states landmarks of an upright face: the mouth would be on the eyes."""
    frames = [np.ascontiguousarray(np.rot90(draw_face(80, 80), turns))] * 30
    reject = reject_of(make_clip("turned", frames=frames), params)
    assert reject.reason == Reason.FACE_TURNED
    assert "on its side or upside down in 16 of 16 frames" in reject.detail


def test_a_face_that_turns_over_is_kept_until_then(make_clip, params) -> None:
    upright = draw_face(80, 80)
    record = make_clip("rolls", frames=[upright] * 30 + [np.ascontiguousarray(upright[::-1])] * 30)
    kept, rejected = process_clip(record, params, ANYWHERE)
    assert isinstance(kept, ClipSample) and abs(len(kept.frame_bytes) - 30) <= 1
    assert isinstance(rejected, Reject) and rejected.reason == Reason.FACE_TURNED


def test_stats_tell_of_the_source(make_clip, params, monkeypatch, tmp_path) -> None:
    record = make_clip()
    stats = sample_of(record, params).stats
    assert (stats["source_fps"], stats["audio_clipped"], stats["face_missing"]) == (25, 0, 0)
    hearing(monkeypatch, np.clip(tone(30 / 25, loudness=1.5), -1, 1))
    over = 1 - 2 / np.pi * np.arcsin(0.99 / 1.5)
    assert sample_of(record, params).stats["audio_clipped"] == pytest.approx(over, abs=0.01)
    path = tmp_path / "fast.mp4"
    with VideoWriter(path, 30, (160, 160), tone(36 / 30), match="video") as writer:
        for _ in range(36):
            writer.write(draw_face(80, 80))
    fast = sample_of(record_of("fast", "s", "train", path, ""), params)
    assert (fast.num_frames, fast.stats["source_fps"]) == (30, 30)


def test_a_face_in_wide_pixels_has_its_own_shape(params, tmp_path) -> None:
    faces = [draw_face(80 + 6 * np.sin(k / 8), 80) for k in range(30)]
    crops = []
    for width, aspect in ((160, 1), (80, 2)):
        path = tmp_path / f"{width}.mp4"
        with VideoWriter(path, 25, (width, 160), tone(30 / 25), pixel_aspect=Fraction(aspect)) as writer:
            for face in faces:
                writer.write(cv2.resize(face, (width, 160), interpolation=cv2.INTER_AREA))
        sample = sample_of(record_of(str(width), "s", "train", path, ""), params)
        crops.append(decode_mjpeg(sample.frames_mjpeg, sample.frame_bytes).astype(int))
    square, wide = crops
    assert np.abs(wide - square).mean() < 8  # the same face, half as sharp


def test_blurred_clips_are_rejected_when_asked(make_clip, params) -> None:
    sharp = sample_of(make_clip("sharp"), params).stats["sharpness"]
    soft = [cv2.GaussianBlur(draw_face(80, 80), (0, 0), 4) for _ in range(30)]
    strict = params.model_copy(update={"min_sharpness": sharp / 2})
    assert sample_of(make_clip("sharp"), strict).stats["sharpness"] == sharp
    rejected = reject_of(make_clip("soft", frames=soft), strict)
    assert rejected.reason == Reason.BLURRED
    assert "preprocess.min_sharpness" in rejected.detail


def test_reasons_of_rejection(make_clip, params, tmp_path, monkeypatch) -> None:
    face = draw_face(80, 80)
    good = make_clip("good")
    missing = ClipRecord("gone", "s", "train", str(tmp_path / "gone.mp4"), 0, "", "")
    assert reject_of(missing, params).reason == Reason.MISSING_FILE

    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    noise = record_of("noise", "s", "train", tmp_path / "noise.mp4", "")
    unread = reject_of(noise, params)
    assert unread.reason == Reason.UNREADABLE_FILE
    assert unread.detail == "cannot be opened: it is no media file, or is damaged"

    replaced = make_clip("replaced")
    (tmp_path / "clips" / "replaced.mp4").write_bytes((tmp_path / "clips" / "good.mp4").read_bytes()[:-1])
    assert reject_of(replaced, params).reason == Reason.CHANGED_FILE

    assert reject_of(make_clip("mute", sound=tone(0)), params).reason == Reason.NO_AUDIO
    assert reject_of(make_clip("quiet", sound=tone(2, loudness=1e-5)), params).reason == Reason.SILENT_AUDIO
    assert reject_of(make_clip("empty", frames=[EMPTY] * 30), params).reason == Reason.NO_FACE
    assert reject_of(make_clip("brief", frames=[face] * 20), params).reason == Reason.TOO_SHORT

    near = params.model_copy(update={"min_face_px": 120})
    small = reject_of(good, near)
    assert small.reason == Reason.FACE_TOO_SMALL
    assert "preprocess.min_face_px" in small.detail

    hearing(monkeypatch, tone(3))
    mismatch = reject_of(good, params)
    assert mismatch.reason == Reason.LENGTH_MISMATCH
    assert "the video lasts 1.20 s, the audio 3.00 s" in mismatch.detail


def test_a_bug_and_trouble_of_the_machine_are_no_rejects(make_clip, params, monkeypatch) -> None:
    record = make_clip()

    def fail_with(error: Exception) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(segments, "smooth_faces", fail)

    fail_with(ZeroDivisionError("odd clip"))
    with pytest.raises(ZeroDivisionError, match="odd clip") as caught:
        list(process_clip(record, params, ANYWHERE))
    assert caught.value.__notes__ == [f"while preprocessing clip s1/a ({record.path})"]
    fail_with(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        list(process_clip(record, params, ANYWHERE))


def test_a_clip_in_remote_storage_gives_the_same_sample(make_clip, params, monkeypatch) -> None:
    record = make_clip()
    storage = fsspec.filesystem("memory")
    storage.pipe_file("/clips/a.mp4", Path(record.path).read_bytes())
    here = sample_of(record, params)
    there = sample_of(replace(record, path="memory://clips/a.mp4"), params)
    assert there.frames_mjpeg == here.frames_mjpeg
    assert there.context_mjpeg == here.context_mjpeg
    assert (there.audio == here.audio).all()
    assert (there.source, there.stats) == (here.source, here.stats)

    gone = reject_of(replace(record, path="memory://clips/gone.mp4"), params)
    assert (gone.reason, gone.detail) == (Reason.MISSING_FILE, "no such object")
    storage.pipe_file("/clips/a.mp4", b"another clip")
    assert reject_of(replace(record, path="memory://clips/a.mp4"), params).reason == Reason.CHANGED_FILE


@pytest.mark.parametrize("error", [OutageError("no answer"), NoDriverError("no driver")])
def test_trouble_with_storage_is_no_reject(error: Exception, params, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(clip_module, "local_file", fail)
    with pytest.raises(type(error), match=str(error)):
        list(process_clip(ClipRecord("a", "s", "train", "s3://bucket/a.mp4", 1, "", ""), params, ANYWHERE))


def test_real_clips_are_kept_with_the_mouth_in_the_lower_half(shared_data, params) -> None:
    from pipeline.corpora.manifest import record_of
    from pipeline.faces.detector import YuNetDetector

    detector = YuNetDetector(0.5, 160)
    for path in sorted((shared_data / "grid" / "s26").glob("*.mpg"))[:2]:
        sample = sample_of(record_of(path.stem, "s26", "test", path, ""), params)
        assert sample.num_frames >= 74
        context = decode_mjpeg(sample.context_mjpeg, sample.context_bytes, range(0, 74, 15))
        boxes = sample.crop_in_context[::15]
        for image, (_, y0, _, y1) in zip(context, boxes, strict=False):
            mouth_y = detector.detect(image)[0].landmarks[3:, 1].mean()
            assert 0.55 < (mouth_y - y0) / (y1 - y0) < 0.85


def test_crops_of_another_size_show_the_same(make_clip, params) -> None:
    record = make_clip()
    small, large = sample_of(record, params), sample_of(record, params, 192)
    assert (small.crop_px, large.crop_px) == (96, 192)
    assert (large.context_mjpeg, large.mel.tobytes()) == (small.context_mjpeg, small.mel.tobytes())
    crops = decode_mjpeg(large.frames_mjpeg, large.frame_bytes)
    assert crops.shape[1:] == (192, 192, 3)
    reduced = resized_crops(crops, 96).astype(int)
    assert np.abs(reduced - decode_mjpeg(small.frames_mjpeg, small.frame_bytes)).mean() < 2
    assert large.stats["sharpness"] == pytest.approx(small.stats["sharpness"], rel=0.5)
