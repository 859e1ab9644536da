"""Lists of segments, and their voices on the time line of the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.core.errors import UserError
from pipeline.dubbing.segment_voice import OUTPUT_RATE_HZ, STATED_TOLERANCE_S, load_segments
from pipeline.dubbing.segments import DubSegment, parse_time, read_segments
from pipeline.media.audio import SoundBlock
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
from tests.support.grey_videos import write_frames
from tests.support.sound import tone


def test_times():
    assert [parse_time(text) for text in ("62.5", "1:02.5", "0:01:02.5", "0", " 3 ")] == [62.5, 62.5, 62.5, 0, 3]
    for text in ("", "a", "1:2:3:4", "-1", "inf", "nan", "1:-2"):
        with pytest.raises(UserError, match="is not understood; allowed: seconds such as"):
            parse_time(text)
    assert [parse_time(number) for number in (62.5, 3, np.float32(0.5))] == [62.5, 3, 0.5]


def test_a_list(tmp_path):
    (tmp_path / "list.csv").write_text("start,end,audio,who\n0:01,2.5,a.wav,2\n3,,b.wav,\n4,5,/c.wav,talking\n")
    assert read_segments(tmp_path / "list.csv") == [
        DubSegment(audio=tmp_path / "a.wav", start_s=1.0, end_s=2.5, who="2"),
        DubSegment(audio=tmp_path / "b.wav", start_s=3.0),
        DubSegment(audio=Path("/c.wav"), start_s=4.0, end_s=5.0, who="talking"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first line lacks start, end, audio"),
        (b"start,end\n1,2\n", "the first line lacks audio; allowed columns: start, end, audio, who"),
        (b"start,end,audio\n", "the list has no segment"),
        (b"start,end,audio\n1,2,a.wav\nx,2,a.wav\n", "line 3: the time 'x' is not understood"),
        (b"start,end,audio\n1,2,\n", "line 2: the column audio is empty"),
        (b"start,end,audio,who\n1,2,a.wav,bob\n", "line 2: who is 'bob'"),
        (b"start,end,audio,whom\n1,2,a.wav,2\n", "the first line has the unknown columns 'whom'"),
        (b"start,end,audio,audio\n1,2,a.wav,b.wav\n", "the first line repeats audio"),
        (b"start,end,audio,who\n1,2,hello, world.wav,2\n", "line 2: the line has 1 more fields than the first line"),
        (b"\xff\xfe\x00", "no CSV file in UTF-8"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_segments(tmp_path / "list.csv")


def test_no_list(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_segments(tmp_path / "list.csv")


@pytest.fixture
def files(tmp_path):
    """A video of 3 s with its own tone of 200 Hz, and voices of 1 s with 500 and 900 Hz."""
    write_frames(tmp_path / "video.mp4", 15, 5, audio=tone(200, 3.0))
    for hz in (500, 900):
        wavfile.write(tmp_path / f"{hz}.wav", 44_100, tone(hz, 1.0, 44_100).astype(np.float32))
    return tmp_path


def loaded(folder, segments, use):
    with (
        MediaFile(folder / "video.mp4") as video,
        MediaFile(folder / "500.wav") as a,
        MediaFile(folder / "900.wav") as b,
    ):
        media = [a, b][: len(segments)]
        return use(load_segments(video, segments, media, ["sound"] * len(media)), media)


def pitch(samples, rate_hz):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


def test_each_segment_has_its_voice_and_the_rest_its_own_sound(files):
    segments = [
        DubSegment(audio=files / "500.wav", start_s=0.5, end_s=1.0),
        DubSegment(audio=files / "900.wav", start_s=1.5),
    ]

    def check(voice, media):
        assert [(part.start_s, part.end_s) for part in voice.parts] == [(0.5, 1.0), (1.5, 2.5)]
        assert float(voice.duration_s) == pytest.approx(2.5)
        heard = np.concatenate(list(voice._blocks()))
        expected = [(0.1, 200), (0.55, 500), (1.1, 200), (1.6, 900), (2.1, 900), (2.55, 200)]
        for start_s, hz in expected:
            part = heard[round(start_s * OUTPUT_RATE_HZ) : round((start_s + 0.35) * OUTPUT_RATE_HZ), 0]
            assert pitch(part, OUTPUT_RATE_HZ) == pytest.approx(hz, abs=10), start_s
        lips = voice.audio[:] / 32768
        for start_s, hz in ((0.55, 500), (1.6, 900)):
            assert pitch(lips[round(start_s * 16_000) :][:5600], 16_000) == pytest.approx(hz, abs=10)
        for start_s, end_s in ((0, 0.5), (1.0, 1.5)):
            assert not lips[round(start_s * 16_000) : round(end_s * 16_000)].any()
        assert np.abs(np.diff(heard[:, 0])).max() < 0.2  # no click

    loaded(files, segments, check)


def test_a_segment_longer_than_its_voice_ends_in_silence(files):
    def check(voice, media):
        heard = np.concatenate(list(voice._blocks()))
        assert np.abs(heard[round(1.7 * OUTPUT_RATE_HZ) : round(2.3 * OUTPUT_RATE_HZ)]).max() < 0.01
        assert np.abs(heard[round(2.6 * OUTPUT_RATE_HZ) : round(2.9 * OUTPUT_RATE_HZ)]).max() > 0.1

    loaded(files, [DubSegment(audio=files / "500.wav", start_s=0.5, end_s=2.5)], check)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([(1.0, 0.5)], "the segment from 1 s to 0.5 s ends before it starts"),
        ([(0.0, None), (0.5, None)], "a segment starts at 0.5 s, before the end of the previous one at 1 s"),
    ],
)
def test_segments_that_do_not_fit_together(files, times, message):
    segments = [DubSegment(audio=files / "500.wav", start_s=start_s, end_s=end_s) for start_s, end_s in times]
    with pytest.raises(UserError, match=message):
        loaded(files, segments, lambda voice, media: None)


def test_a_segment_that_ends_long_after_the_video_needs_no_memory_for_it(files):
    """The time is a typing error. The sound and the features end soon after the video, which has 3 s."""
    segment = DubSegment(audio=files / "500.wav", start_s=2.5, end_s=99 * 3600)

    def check(voice, media):
        assert 3 <= float(voice.duration_s) <= 3 + STATED_TOLERANCE_S
        assert len(voice.mel) < 80 * (3.1 + STATED_TOLERANCE_S)
        assert pitch(voice.audio[round(2.6 * 16_000) : round(3.4 * 16_000)], 16_000) == pytest.approx(500, abs=10)

    loaded(files, [segment], check)


def test_a_segment_after_the_end_is_refused_before_its_voice_is_read(files, monkeypatch):
    monkeypatch.setattr(MediaFile, "sound", lambda *_: pytest.fail("the voice is read"))
    with pytest.raises(UserError, match=r"a segment starts at 5400 s, after the end of .*video\.mp4"):
        loaded(files, [DubSegment(audio=files / "500.wav", start_s=5400.0)], lambda voice, media: None)


@pytest.mark.parametrize("blocks", [[], [SoundBlock(np.zeros((0, 1), np.float32), 16_000)]])
def test_a_voice_without_a_sample_is_named(files, monkeypatch, blocks):
    monkeypatch.setattr(MediaFile, "sound", lambda *_: iter(blocks))
    with pytest.raises(CorruptMediaError, match=r"500\.wav: its audio ends before its video begins"):
        loaded(files, [DubSegment(audio=files / "500.wav", start_s=1.0)], lambda voice, media: None)
