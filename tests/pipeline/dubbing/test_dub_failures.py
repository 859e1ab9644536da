"""Failed dubs: what is refused, and what a failed or killed dub leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import numpy as np
import psutil
import pytest
from scipy.io import wavfile

from pipeline.core.errors import UserError
from pipeline.dubbing.speech import load_speech
from pipeline.media.errors import MediaError
from pipeline.media.file import MediaFile
from tests.support.dub_runs import FACE, Draw, run
from tests.support.dub_scenes import ScriptedDetector
from tests.support.media_readers import header_of


def test_silent_and_broken_samples(make_video, tmp_path, caplog):
    samples = np.zeros((8_000, 1), np.float32)
    samples[100:120] = [[np.nan], [np.inf]] * 10
    wavfile.write(tmp_path / "bad.wav", 16_000, samples)
    with MediaFile(tmp_path / "bad.wav") as media:
        speech = load_speech(media)
    assert "20 audio samples are NaN or infinite" in caplog.text
    assert (speech.mel[:] == -4).all()
    summary = run(make_video(5), tmp_path / "bad.wav", tmp_path / "out.mp4")
    assert any("its sound is silent (RMS 0.000000), so the mouth does not speak" in note for note in summary.notes)
    assert header_of(tmp_path / "out.mp4").has_audio


def test_a_failure_leaves_the_old_file_and_nothing_else(make_video, make_sound, tmp_path):
    face, audio, out = make_video(5), make_sound(0.2), tmp_path / "out.mp4"
    out.write_bytes(b"old")

    @Draw
    def fail(crops, windows, references):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        run(face, audio, out, draw=fail)
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.mp4", "out.mp4", "speech.wav"]


def test_bad_requests(make_video, make_sound, tmp_path):
    face, audio = make_video(5), make_sound(0.2)
    with pytest.raises(UserError, match="is the same file as --face"):
        run(face, audio, face)
    both = make_video(5, name="speech.mp4")
    with pytest.raises(UserError, match="is the same file as --audio"):
        run(face, both, both)
    with pytest.raises(UserError, match=r"\.mp4"):
        run(face, audio, tmp_path / "out.avi")
    with pytest.raises(MediaError, match="no video"):
        run(audio, audio, tmp_path / "out.mp4")
    with pytest.raises(MediaError, match="no audio"):
        run(face, face, tmp_path / "out.mp4")
    with pytest.raises(MediaError, match="no such file"):
        run(tmp_path / "nowhere.mp4", audio, tmp_path / "out.mp4")


def test_the_output_does_not_lie_among_its_frames(make_video, make_sound, tmp_path):
    """The folder of the frames must stay empty until all are there."""
    frames, detector = tmp_path / "frames", ScriptedDetector(every=[FACE])
    with pytest.raises(UserError, match=r"--out .*out\.mp4 lies in --keep-frames .*frames"):
        run(make_video(5), make_sound(0.2), frames / "out.mp4", detector=detector, keep_frames=frames)
    assert detector.calls == 0


def test_a_place_that_cannot_be_written_is_told_before_the_work(make_video, make_sound, tmp_path):
    face, audio, detector = make_video(5), make_sound(0.2), ScriptedDetector(every=[FACE])
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UserError, match=r"--out .*folder\.mp4 is a folder; give a file, such as"):
        run(face, audio, tmp_path / "folder.mp4", detector=detector)
    with pytest.raises(UserError, match=r"--out .*face\.mp4/out\.mp4 cannot be written: .*face\.mp4: File exists"):
        run(face, audio, face / "out.mp4", detector=detector)
    assert detector.calls == 0


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_dub_leaves_nothing(make_video, make_sound, tmp_path, signum, preloaded, repo_root):
    folder = tmp_path / "out"
    arguments = [make_video(10), make_sound(200.0, 8_000), folder / "o.mp4"]
    environment = {**os.environ, "PYTHONPATH": str(repo_root)}
    dub = preloaded.start("tests.support.dub_runs", *arguments, cwd=repo_root, env=environment)
    written = folder / f".o.{dub.pid}.mp4"
    while psutil.pid_exists(dub.pid) and not written.exists():
        time.sleep(0.05)
    os.kill(dub.pid, signum)
    ended = dub.wait()
    assert ended.returncode == 128 + signum, ended.stderr
    assert not any(folder.iterdir())


def test_what_a_killed_dub_left_is_removed(make_video, make_sound, tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, others = tmp_path / f".out.{ended.pid}.mp4", tmp_path / f".other.{ended.pid}.mp4"
    left.touch()
    others.touch()
    run(make_video(5), make_sound(0.2), tmp_path / "out.mp4")
    assert (left.exists(), others.exists()) == (False, True)
