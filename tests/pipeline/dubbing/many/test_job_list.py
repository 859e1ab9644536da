"""Lists of dubs: columns, paths, values, and lines that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.dubbing.many.job_list import option_columns, read_jobs
from pipeline.dubbing.segments import DubSegment


def listed(folder: Path, text: str) -> list:
    path = folder / "jobs.csv"
    path.write_text(text, encoding="utf-8-sig")
    return read_jobs(path)


def test_paths_start_at_the_list_and_options_have_the_types_of_the_dubber(tmp_path):
    (tmp_path / "lines.csv").write_text("start,end,audio\n0,,a.wav\n")
    first, second = listed(
        tmp_path,
        "face,audio,out,who,start,in_silence,audio_track,min_dubbed,drive,segments\n"
        f'a.mp4,b.wav,{tmp_path}/out/1.mp4,"1,3",1:02.5,keep,2,0.25,voice.wav,\n'
        "a.mp4,,out/2.mp4,,,,,,,lines.csv\n",
    )
    assert (first.line, second.line) == (2, 3)
    assert (first.job.face, first.job.audio, first.job.out) == (
        tmp_path / "a.mp4",
        tmp_path / "b.wav",
        tmp_path / "out" / "1.mp4",
    )
    assert first.job.options == {
        "who": "1,3",
        "start": 62.5,
        "in_silence": "keep",
        "audio_track": 2,
        "min_dubbed": 0.25,
        "drive": tmp_path / "voice.wav",
    }
    assert second.job.audio is None
    assert second.job.options == {"segments": [DubSegment(audio=tmp_path / "a.wav")]}


def test_a_path_that_goes_up_is_written_directly_and_a_link_keeps_its_name(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "9f3a").touch()
    (tmp_path / "a.mp4").symlink_to(tmp_path / "9f3a")
    (tmp_path / "lines.csv").write_text("start,end,audio\n0,,lists/../a.wav\n")
    (item,) = listed(tmp_path / "lists", "face,out,segments\n../a.mp4,../out/1.mp4,../lines.csv\n")
    assert item.job.face == tmp_path / "a.mp4" and item.job.out == tmp_path / "out" / "1.mp4"
    assert item.job.options == {"segments": [DubSegment(audio=tmp_path / "a.wav")]}


def test_each_option_of_a_dub_can_be_a_column(tmp_path):
    """A new option needs a conversion here, or a place among those that lists cannot have."""
    (tmp_path / "lines.csv").write_text("start,end,audio\n0,,a.wav\n")
    values = {
        "length": "video",
        "fill": "loop",
        "on_missing": "keep",
        "reference": "same",
        "who": "2",
        "in_silence": "rest",
        "segments": "lines.csv",
        "drive": "voice.wav",
    }
    for name in option_columns():
        (item,) = listed(tmp_path, f"face,audio,out,{name}\na,b,c.mp4,{values.get(name, '1')}\n")
        assert item.reason is None and list(item.job.options) == [name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the first line lacks face, out; allowed columns: face, audio, out, length"),
        ("face,audio\na,b\n", "the first line lacks out"),
        ("face,audio,out,voice\na,b,c,d\n", "the first line has the unknown columns 'voice'"),
        ("face,out,face\na,b,c\n", "the first line repeats face"),
        ("face,audio,out\n", "the list has no job"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        listed(tmp_path, text)


def test_a_list_that_is_no_text(tmp_path):
    with pytest.raises(UserError, match=r"jobs\.csv: no such file"):
        read_jobs(tmp_path / "jobs.csv")
    (tmp_path / "jobs.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match=r"jobs\.csv: this is no CSV file in UTF-8"):
        read_jobs(tmp_path / "jobs.csv")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",b.wav,c.mp4,,", "the column face is empty"),
        ("a.mp4,b.wav,,,", "the column out is empty"),
        ("a.mp4,b.wav,c.mp4,,,extra", "the line has 1 more fields than the first line"),
        ("a.mp4,b.wav,c.mp4,nobody,", "who is 'nobody'; allowed: largest, talking, or numbers"),
        ("a.mp4,b.wav,c.mp4,,longest", "length is 'longest'; allowed: audio, video"),
        ("https://x.org/a.mp4,b.wav,c.mp4,,", "face https://x.org/a.mp4 is a URL; download it"),
        ("a.mp4,-,c.mp4,,", "audio - : standard input and output are not supported"),
    ],
)
def test_a_bad_line_has_a_reason_and_the_others_stay(tmp_path, line, reason):
    bad, good = listed(tmp_path, f"face,audio,out,who,length\n{line}\na.mp4,b.wav,good.mp4,,\n")
    assert bad.job is None and bad.reason.startswith(reason)
    assert good.job is not None and good.reason is None


def test_a_number_and_a_time_that_are_none(tmp_path):
    first, second, third = listed(
        tmp_path, "face,out,fps,audio_track,start\na,1.mp4,fast,,\na,2.mp4,,1.5,\na,3.mp4,,,soon\n"
    )
    assert first.reason == "fps is 'fast'; allowed: a number"
    assert second.reason == "audio_track is '1.5'; allowed: a whole number"
    assert third.reason.startswith("the time 'soon' is not understood")


def test_a_message_about_segments_names_the_column(tmp_path):
    (tmp_path / "lines.csv").write_text("start,end,audio\n0,,hello, world.wav\n")
    (item,) = listed(tmp_path, "face,out,segments\na,1.mp4,lines.csv\n")
    assert item.reason.startswith(f"segments {tmp_path}/lines.csv, line 2: the line has 1 more fields")


def test_an_output_that_another_job_writes_or_reads(tmp_path):
    (tmp_path / "out").mkdir()
    first, twice, source, last = listed(
        tmp_path, "face,audio,out\na,b,out/1.mp4\na,b,out/../out/1.mp4\na,b,c.mp4\nc.mp4,b,2.mp4\n"
    )
    assert first.job and last.job
    assert twice.reason == f"out {tmp_path}/out/1.mp4 is also the out of line 2"
    assert source.reason == f"out {tmp_path}/c.mp4 is an input of line 5"
