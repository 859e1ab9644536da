"""Videos whose frame rate varies: every frame keeps its time, and its mouth has the speech of that time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.dubbing.dub import dub_file
from pipeline.dubbing.face_path import FollowSettings
from pipeline.dubbing.settings import DubSettings
from pipeline.dubbing.timing import SourceTiming
from pipeline.media.video import TimedFrame
from tests.support.dub_scenes import HEIGHT, WIDTH, ScriptedDetector, picture
from tests.support.media_readers import iter_frames

FOLLOW = FollowSettings(max_gap_frames=3, smooth_frames=7, cut_change=4.0)
PHONE = [33 * k for k in range(24) if k not in (5, 6, 13)]
"""A phone's 30 fps in ms, with lost frames."""
IMAGE = np.zeros((2, 2, 3), np.uint8)


class MarkSpeech:
    """Paints a square on the mouth, whose brightness is that of the speech around the frame's middle."""

    geometry, crop_px = "square", 96

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def audio_windows(self, voice, frames, fps):
        self.seconds += [(frame + 0.5) / fps for frame in frames]
        return np.zeros((len(frames), 80, 16), np.float32)

    def __call__(self, crops, windows, references, state):
        return crops


def write_at(path: Path, times_ms: Sequence[int], rate: int = 25) -> Path:
    """A video with one picture at each time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"bf": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def dub(face: Path, audio: Path, out: Path, **settings):
    mark = MarkSpeech()
    detectors = [ScriptedDetector(every=[[30.0, 10, 90, 70]])]
    return dub_file(face, audio, out, mark, lambda side: detectors, DubSettings(follow=FOLLOW, **settings)), mark


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("length", ["video", "audio"])
def test_every_frame_keeps_its_time(make_sound, tmp_path, suffix, length):
    face = write_at(tmp_path / f"phone{suffix}", PHONE, rate=30)
    summary, mark = dub(face, make_sound(0.8), tmp_path / "out.mp4", length=length)
    shown = list(iter_frames(tmp_path / "out.mp4"))
    np.testing.assert_allclose([frame.time_s * 1000 for frame in shown], PHONE, atol=0.1)
    for number, frame in enumerate(shown):
        assert np.abs(frame.image.astype(float) - picture(number)).mean() < 8
    np.testing.assert_allclose(mark.seconds, np.array(PHONE) / 1000 + 0.0165, atol=0.002)
    assert summary.num_frames == len(PHONE) == round(summary.fps * summary.duration_s)
    assert shown[-1].end_s == pytest.approx(0.8, abs=0.05)


def test_a_short_video_goes_on_with_its_own_times(make_sound, tmp_path):
    times = [0, 40, 120, 160]
    face = write_at(tmp_path / "v.mkv", times)
    dub(face, make_sound(0.47), tmp_path / "out.mp4")
    shown = [frame.time_s * 1000 for frame in iter_frames(tmp_path / "out.mp4")]
    np.testing.assert_allclose(shown, [0, 40, 120, 160, 200, 240, 320, 360, 440], atol=0.1)


def test_in_a_long_pause_the_frame_is_repeated_for_its_mouth(make_sound, tmp_path):
    times = [0, 40, 80, 120, 160, 1160, 1200]
    face = write_at(tmp_path / "v.mkv", times)
    dub(face, make_sound(1.24), tmp_path / "out.mp4")
    frames = list(iter_frames(tmp_path / "out.mp4"))
    shown = [frame.time_s * 1000 for frame in frames]
    assert all(min(abs(time - kept) for kept in shown) < 0.1 for time in times)
    assert np.diff(shown).max() == pytest.approx(40, abs=0.1)
    for frame in frames[4:-2]:
        assert np.abs(frame.image.astype(float) - picture(4)).mean() < 8


def output(times_s: Sequence[float], wanted_s: float | None = None, fps: int = 25, fill="pingpong"):
    """Starts of the output's frames, and the timing, of a source with these times; each frame states 40 ms."""
    source = SourceTiming(Fraction(fps), None if wanted_s is None else Fraction(wanted_s).limit_denominator(1000))
    list(source.read(TimedFrame(time, time + 0.04, IMAGE) for time in times_s))
    timing = source.output(fill)
    return (None if timing.times is None else timing.times.starts_s.round(6).tolist()), timing


def test_rounded_times_are_a_constant_rate():
    starts, timing = output([round(k / 30, 3) for k in range(300)], fps=30)
    assert starts is None and timing.num_frames == 300 and timing.mean_fps == 30


def test_equal_times_are_spread_until_the_next_one():
    assert output([0, 0.04, 0.04, 0.04, 0.16, 0.2])[0] == [0, 0.04, 0.08, 0.12, 0.16, 0.2]
    starts, timing = output([0, 0.04, 0.12, 0.12])
    assert starts == [0, 0.04, 0.12, 0.14]
    assert timing.times is not None and timing.times.end_s == pytest.approx(0.16)


def test_a_frame_is_shown_until_the_next_one_even_if_that_is_not_shown():
    starts, timing = output([0, 0.04, 0.12, 0.4], wanted_s=0.3)
    assert starts == [0, 0.04, 0.12]
    assert timing.times is not None and timing.times.end_s == pytest.approx(0.3)


def test_a_loop_starts_again_after_the_last_frame():
    assert output([0, 0.04, 0.12], wanted_s=0.35, fill="loop")[0] == [0, 0.04, 0.12, 0.16, 0.2, 0.28, 0.32]
