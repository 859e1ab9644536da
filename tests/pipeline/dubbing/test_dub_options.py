"""Options of a dub: the face, segments, silence, the driving voice, enough faces, kept frames, folders of pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.core.errors import DataError, UserError
from pipeline.dubbing.dub import dub_file
from pipeline.dubbing.face_path import FollowSettings
from pipeline.dubbing.kept_frames import require_empty
from pipeline.dubbing.segments import DubSegment
from pipeline.dubbing.settings import DubSettings
from pipeline.inference.generator_kinds import OURS
from pipeline.media.writer import VideoWriter
from tests.support.dub_scenes import HEIGHT, WIDTH, ScriptedDetector, picture
from tests.support.media_readers import read_frames, read_native_samples

FOLLOW = FollowSettings(max_gap_frames=3, smooth_frames=7, cut_change=4.0)
LEFT, RIGHT = [6.0, 10, 56, 70], [70.0, 10, 124, 74]
MOUTHS = {"left": np.s_[:, 56:61, 27:35], "right": np.s_[:, 59:64, 92:102]}


class Louder:
    """Paints the mouth: white where its audio window is loud, black where it is silent."""

    geometry, crop_px = "square", 96

    def audio_windows(self, voice, frames, fps):
        return OURS.audio_windows(voice, frames, fps)

    def __call__(self, crops, windows, references, state):
        is_loud = windows[:, :, 6:10].max(axis=(1, 2)) > -3
        drawn = crops.copy()
        drawn[:, 66:80, 36:60] = np.where(is_loud, 255, 0)[:, None, None, None]
        return drawn


@pytest.fixture
def grey_video(tmp_path):
    """Two seconds of grey, with a tone of 200 Hz."""
    time = np.arange(32_000) / 16_000
    path = tmp_path / "face.mp4"
    sound = (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    with VideoWriter(path, 25, (WIDTH, HEIGHT), sound, preset="ultrafast") as writer:
        for _ in range(50):
            writer.write(np.full((HEIGHT, WIDTH, 3), 128, np.uint8))
    return path


@pytest.fixture
def words(tmp_path):
    """Tones of 500 Hz in 0.4..0.8 s of 1.2 s, and without silence for 0.6 s."""
    time = np.arange(19_200) / 16_000
    tone = (0.3 * np.sin(2 * np.pi * 500 * time)).astype(np.float32)
    wavfile.write(tmp_path / "word.wav", 16_000, np.where((time >= 0.4) & (time < 0.8), tone, np.float32(0)))
    wavfile.write(tmp_path / "tone.wav", 16_000, tone[:9_600])
    return tmp_path


def run(face, audio, out, script=None, **settings):
    detector = ScriptedDetector(script, every=[LEFT, RIGHT])
    return dub_file(face, audio, out, Louder(), lambda side: [detector], DubSettings(follow=FOLLOW, **settings))


def changed(out, side="right"):
    """Mean grey level of a mouth in each frame, minus the grey of the source."""
    return read_frames(out, None)[MOUTHS[side]].astype(float).mean(axis=(1, 2, 3)) - 128


@pytest.mark.parametrize(("who", "dubbed"), [("largest", "right"), ("1", "left"), (2, "right")])
def test_only_the_chosen_face_is_dubbed(grey_video, words, tmp_path, who, dubbed):
    summary = run(grey_video, words / "tone.wav", tmp_path / "out.mp4", who=who)
    other = {"left": "right", "right": "left"}[dubbed]
    assert changed(tmp_path / "out.mp4", dubbed).min() > 60
    assert np.abs(changed(tmp_path / "out.mp4", other)).max() < 6
    (face,) = summary.faces
    assert (summary.who, face.number, face.num_frames) == (str(who), None if who == "largest" else int(who), 15)
    assert face.box_px == tuple(map(int, LEFT if dubbed == "left" else RIGHT))
    assert (face.start_s, face.end_s) == pytest.approx((0.0, 0.6)) and summary.num_dubbed == 15


def test_frames_with_several_of_the_chosen_faces_are_noted(grey_video, words, tmp_path):
    summary = run(grey_video, words / "tone.wav", tmp_path / "out.mp4", who="2,1", length="video")
    assert [face.number for face in summary.faces] == [2]
    (note,) = summary.notes
    assert (
        "50 frames of the video show several of the faces 2,1; in each of them only the face that is named first"
        in note
    )
    assert not run(grey_video, words / "tone.wav", tmp_path / "out.mp4", who="1", length="video").notes


def test_frames_with_several_of_the_chosen_faces_of_a_segment_are_noted(grey_video, words, tmp_path):
    segments = [
        DubSegment(audio=words / "tone.wav", start_s=0.4, end_s=0.8, who="1,2"),
        DubSegment(audio=words / "tone.wav", start_s=1.2, end_s=1.6, who="2"),
    ]
    summary = run(grey_video, None, tmp_path / "out.mp4", segments=segments)
    assert [note for note in summary.notes if "10 frames of the video show several of the faces 1,2" in note]


def test_the_talking_face_of_several_needs_the_sound_of_the_video(make_video, words, tmp_path):
    with pytest.raises(UserError, match=r"face\.mp4 shows several faces and has no sound; choose one by its number"):
        run(make_video(10), words / "tone.wav", tmp_path / "out.mp4", who="talking")


def test_the_only_face_of_a_video_without_sound_is_the_talking_one(make_video, words, tmp_path):
    alone = {k: [RIGHT] for k in range(15)}
    summary = run(make_video(15), words / "tone.wav", tmp_path / "out.mp4", alone, who="talking")
    assert (summary.num_dubbed, summary.num_missing, summary.notes) == (15, 0, ())


@pytest.mark.parametrize("who", ["talking", "largest"])
def test_without_any_face_no_option_is_advised(make_video, words, tmp_path, who):
    with pytest.raises(DataError, match=r"no face to dub in any of 15 frames; .*detector_score") as refused:
        run(make_video(15), words / "tone.wav", tmp_path / "out.mp4", {}, who=who)
    assert "--" not in str(refused.value)
    with pytest.raises(UserError, match=r"who is 2, but no face was found in the video$"):
        run(make_video(15), words / "tone.wav", tmp_path / "out.mp4", {}, who=2)


def test_nobody_of_two_still_faces_talks(grey_video, words, tmp_path):
    with pytest.raises(UserError, match="no face clearly talks"):
        run(grey_video, words / "tone.wav", tmp_path / "out.mp4", who="talking")
    assert not (tmp_path / "out.mp4").exists()


def test_segments_have_their_own_voice_and_face_and_the_rest_stays(grey_video, words, tmp_path):
    segments = [
        DubSegment(audio=words / "tone.wav", start_s=0.4, who=1),
        DubSegment(audio=words / "tone.wav", start_s=1.2, end_s=1.6, who=[2]),
    ]
    summary = run(grey_video, None, tmp_path / "out.mp4", segments=segments)
    assert (summary.num_frames, summary.num_dubbed, summary.num_missing) == (50, 25, 0)
    assert [face.number for face in summary.faces] == [1, 2] and summary.who == "1; 2"
    spans = [(face.start_s, face.end_s) for face in summary.faces]
    np.testing.assert_allclose(spans, [(0.4, 1.0), (1.2, 1.6)])
    left, right = (np.abs(changed(tmp_path / "out.mp4", side)) > 12 for side in ("left", "right"))
    assert np.flatnonzero(left).tolist() == list(range(10, 25))
    assert np.flatnonzero(right).tolist() == list(range(30, 40))
    samples, rate_hz = read_native_samples(tmp_path / "out.mp4")
    assert len(samples) / rate_hz == pytest.approx(2.0, abs=0.03)
    for start_s, hz in ((0.1, 200), (0.5, 500), (1.05, 200), (1.25, 500), (1.7, 200)):
        part = samples[round(start_s * rate_hz) :][: round(0.1 * rate_hz), 0]
        assert np.argmax(np.abs(np.fft.rfft(part))) * 10 == pytest.approx(hz, abs=10), start_s


def test_a_segment_after_the_end_of_the_video(grey_video, words, tmp_path):
    with pytest.raises(UserError, match=r"a segment starts at 3 s, after the end of .*face\.mp4"):
        run(grey_video, None, tmp_path / "out.mp4", segments=[DubSegment(audio=words / "tone.wav", start_s=3.0)])


def test_the_mouth_in_silence_rests_or_stays(grey_video, words, tmp_path):
    run(grey_video, words / "word.wav", tmp_path / "rest.mp4")
    summary = run(grey_video, words / "word.wav", tmp_path / "keep.mp4", in_silence="keep")
    rest, keep = changed(tmp_path / "rest.mp4"), changed(tmp_path / "keep.mp4")
    assert (rest[:8] < -60).all() and (rest[12:18] > 60).all() and (rest[23:] < -60).all()
    assert np.abs(keep[:5]).max() < 6 and (keep[12:18] > 60).all() and np.abs(keep[25:]).max() < 6
    assert (summary.num_frames, summary.num_missing) == (30, 0)
    assert 10 <= summary.num_dubbed <= 22


def test_lips_follow_one_sound_and_another_is_played(grey_video, words, tmp_path):
    run(grey_video, words / "tone.wav", tmp_path / "out.mp4", drive=words / "word.wav")
    mouth = changed(tmp_path / "out.mp4")
    assert len(mouth) == 15
    assert (mouth[:8] < -60).all() and (mouth[12:] > 60).all()
    samples, _ = read_native_samples(tmp_path / "out.mp4")
    assert np.abs(samples[1_600:4_800]).max() > 0.2  # the tone, where the driving voice is silent


def test_a_driving_voice_of_another_length_is_noted(grey_video, words, tmp_path):
    summary = run(grey_video, words / "tone.wav", tmp_path / "out.mp4", drive=words / "word.wav", length="video")
    assert summary.notes == (f"{words / 'word.wav'}: it is 0.60 s longer than the sound; the rest is not used",)
    summary = run(grey_video, words / "word.wav", tmp_path / "out.mp4", drive=words / "tone.wav", length="video")
    assert summary.notes == (
        f"{words / 'tone.wav'}: it is 0.60 s shorter than the sound; the mouth rests after its end",
    )


@pytest.mark.parametrize(
    ("num_seen", "settings", "is_enough"),
    [
        (6, {}, False),
        (8, {}, True),
        (12, {"min_dubbed": 0.9}, False),
        (6, {"min_dubbed": 0.1}, True),
        (6, {"on_missing": "keep"}, True),
        (6, {"on_missing": "keep", "min_dubbed": 0.5}, False),
    ],
)
def test_enough_frames_must_show_the_face(grey_video, words, tmp_path, num_seen, settings, is_enough):
    script = {k: [RIGHT] for k in range(num_seen)}
    if is_enough:
        summary = run(grey_video, words / "tone.wav", tmp_path / "out.mp4", script, **settings)
        assert (summary.num_dubbed, summary.num_missing) == (num_seen, 15 - num_seen)
        return
    with pytest.raises(DataError, match=rf"no face to dub in {15 - num_seen} of 15 frames.*--min-dubbed") as caught:
        run(grey_video, words / "tone.wav", tmp_path / "out.mp4", script, **settings)
    assert caught.value.exit_code == 3
    remedy = "lower --min-dubbed" if settings.get("on_missing") == "keep" else "use --on-missing keep"
    assert f"(--min-dubbed); {remedy}" in str(caught.value)
    assert not (tmp_path / "out.mp4").exists()


def test_a_pingpong_counts_the_frames_of_the_output(make_video, words, tmp_path):
    face, script = make_video(8), {k: [RIGHT] for k in range(1, 8)}
    summary = run(face, words / "tone.wav", tmp_path / "out.mp4", script)
    assert (summary.num_frames, summary.num_missing) == (15, 2)  # the first and the last show source frame 0


def test_frames_are_kept_as_pictures(grey_video, words, tmp_path):
    run(grey_video, words / "tone.wav", tmp_path / "out.mp4", keep_frames=tmp_path / "frames")
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"frame_{k:06d}.png" for k in range(1, 16)]
    kept = cv2.imread(str(tmp_path / "frames" / "frame_000003.png"))
    assert np.abs(kept.astype(float) - read_frames(tmp_path / "out.mp4", None)[2]).mean() < 4


def test_a_folder_with_content_keeps_it(grey_video, words, tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "mine.txt").touch()
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        run(grey_video, words / "tone.wav", tmp_path / "out.mp4", keep_frames=tmp_path / "frames")
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["mine.txt"]


def test_the_frames_of_a_killed_dub_are_removed_before_anything_is_computed(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f".frames.{ended.pid}").mkdir()
    (tmp_path / f".frames.{ended.pid}" / "frame_000001.png").touch()
    require_empty(tmp_path / "frames")
    assert not any(tmp_path.iterdir())


def test_a_failure_keeps_no_frames(grey_video, words, tmp_path, monkeypatch):
    monkeypatch.setattr(Louder, "__call__", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(grey_video, words / "tone.wav", tmp_path / "out.mp4", keep_frames=tmp_path / "frames")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.mp4", "tone.wav", "word.wav"]


def test_a_folder_of_pictures_is_dubbed(words, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(6):
        cv2.imwrite(str(folder / f"{index + 7}.png"), picture(index))
    summary = run(folder, words / "tone.wav", tmp_path / "out.mp4", fps=10, length="video")
    assert (summary.num_frames, summary.fps) == (6, 10.0)
    shown = read_frames(tmp_path / "out.mp4", None)[:, :, :60].astype(float)
    for index in range(6):
        assert np.abs(shown[index, 74:] - picture(index)[74:, :60]).mean() < 8


def test_progress_is_reported_for_each_phase(grey_video, words, tmp_path):
    seen = []
    run(grey_video, words / "tone.wav", tmp_path / "out.mp4", on_progress=seen.append)
    for phase in ("detecting faces", "generating frames"):
        of_phase = [progress for progress in seen if progress.phase == phase]
        assert [(progress.num_done, progress.num_total) for progress in of_phase] == [(k, 15) for k in range(1, 16)]
        assert of_phase[-1].left_s == 0.0 and of_phase[0].left_s > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"face": "https://a.b/c.mp4"}, "--face https://a.b/c.mp4 is a URL; download it and give the file: curl -L -o"),
        ({"audio": "-"}, "--audio - : standard input and output are not supported; save it to a file"),
        ({"drive": "ftp://a/b.wav"}, "--drive ftp://a/b.wav is a URL"),
        ({"out": "s3://bucket/out.mp4"}, "--out s3://bucket/out.mp4 is a URL; write to a file and upload it"),
        ({"out": "-"}, "--out - : standard input and output are not supported; write to a file"),
        ({"min_dubbed": 50}, "min_dubbed is 50; allowed: 0 to 1"),
        ({"who": "me"}, "who is 'me'; allowed: largest, talking"),
        ({"fps": 25}, "--fps 25 is for a folder of pictures"),
        ({"audio": None}, "no speech is given; give --audio"),
    ],
)
def test_arguments_that_cannot_be_used(make_video, words, tmp_path, arguments, message):
    files = {"face": make_video(3), "audio": words / "tone.wav", "out": tmp_path / "out.mp4"}
    files |= {name: value and Path(value) for name, value in arguments.items() if name in files}
    settings = {name: value for name, value in arguments.items() if name not in files}
    if "drive" in settings:
        settings["drive"] = Path(settings["drive"])
    with pytest.raises(UserError, match=message):
        run(files["face"], files["audio"], files["out"], **settings)
