from __future__ import annotations

import errno
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from pipeline.core.errors import UserError
from pipeline.corpora.folder import list_folder_clips
from pipeline.corpora.manifest import ClipRecord
from pipeline.params import FolderParams, ParamsError, parse_params
from pipeline.shards.key import sample_key, segment_id, source_of


def params(root: Path | str | None, **changed: object) -> FolderParams:
    given = {"root": root, "metadata": None, "split_by": "clip", "val_fraction": 0.2, "test_fraction": 0.2}
    return FolderParams.model_validate({**given, **changed})


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    names = ("a.mp4", "a.mov", "holiday/take 1.0.MKV", "holiday/b.webm", "holiday/deep/c.mpg")
    for name in (*names, ".cache/d.mp4", "notes.pdf", "holiday/._b.webm"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "holiday" / "b.txt").write_text("what was said")
    return tmp_path


def test_every_visible_video_becomes_a_clip(videos: Path) -> None:
    records = {Path(r.path).relative_to(videos).as_posix(): r for r in list_folder_clips(params(videos), seed=0)}
    assert sorted(records) == ["a.mov", "a.mp4", "holiday/b.webm", "holiday/deep/c.mpg", "holiday/take 1.0.MKV"]
    assert records["holiday/b.webm"].clip_id == "holiday/b"
    assert records["holiday/take 1.0.MKV"].clip_id == "holiday/take 1.0"
    assert records["holiday/b.webm"].transcript == "what was said"
    speakers = [records[name].speaker for name in ("a.mov", "holiday/b.webm", "holiday/deep/c.mpg")]
    assert speakers == ["unknown", "holiday", "holiday/deep"]
    assert sorted(r.split for r in records.values()) == ["test", "test", "train", "train", "val"]


def test_linked_folders_are_entered_and_none_is_listed_twice(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "videos", tmp_path / "other disk"
    for path in (root / "anna" / "1.mp4", elsewhere / "2.mp4", elsewhere / "deep" / "3.mp4"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "bert").symlink_to(elsewhere)
    (root / "best").symlink_to(root / "anna")
    (root / "anna" / "all").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    speakers = {record.clip_id: record.speaker for record in list_folder_clips(params(root), seed=0)}
    assert speakers == {"anna/1": "anna", "bert/2": "bert", "bert/deep/3": "bert/deep"}


def test_a_folder_without_read_permission_is_skipped_with_a_warning(
    videos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scandir = os.scandir

    def scan(path: str) -> Any:
        if path == str(videos / "holiday" / "deep"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert "holiday/deep/c" not in {record.clip_id for record in list_folder_clips(params(videos), seed=0)}
    assert f"skipped {videos}/holiday/deep: Permission denied" in caplog.text


def test_a_dozen_videos_are_enough_for_every_split(tmp_path: Path) -> None:
    """A test clip needs the audio of another test clip, whatever the fraction. One speaker suffices."""
    for number in range(12):
        path = tmp_path / f"s{number % 4}" / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    small = {"val_fraction": 0.04, "test_fraction": 0.06}
    splits = Counter(record.split for record in list_folder_clips(params(tmp_path, **small), seed=0))
    assert splits == {"train": 9, "val": 1, "test": 2}
    by_speaker = list_folder_clips(params(tmp_path, **small, split_by="speaker"), seed=0)
    assert Counter(record.split for record in by_speaker) == {"train": 6, "val": 3, "test": 3}


def test_ids_stay_apart_and_short_inside_tars(tmp_path: Path) -> None:
    names = ["take 1.mp4", "take_1.mp4", "take_1.mov", "other.mp4", "x" * 90 + ".mp4", "x" * 91 + ".mp4"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    ids = [r.clip_id for r in list_folder_clips(params(tmp_path), seed=0)]
    keys = {sample_key(clip_id) for clip_id in ids}
    assert len(keys) == len(names)
    assert "other" in keys


def test_no_id_looks_like_a_segment_of_another_video(tmp_path: Path) -> None:
    for name in ("talk.mp4", "talk-p000.mp4", "talk-p001.mp4", "talk-p1.mp4"):
        (tmp_path / name).touch()
    ids = {record.clip_id for record in list_folder_clips(params(tmp_path), seed=0)}
    assert {source_of(clip_id) for clip_id in ids} == ids
    assert segment_id("talk", 0) not in ids
    assert {"talk", "talk-p1"} < ids


def test_a_missing_folder_is_an_error_with_the_setting(tmp_path: Path) -> None:
    for root in (None, tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match=r"dataset\.folder\.root"):
            list_folder_clips(params(root), 0)


def by_path(root: Path, **changed: object) -> dict[str, ClipRecord]:
    return {Path(r.path).relative_to(root).as_posix(): r for r in list_folder_clips(params(root, **changed), seed=0)}


CSV = """path,speaker,split,transcript
a.mp4,anna,test,so it was said
holiday/b.webm,bert,,
holiday/take 1.0.MKV,,val,
"""


def test_metadata_overrides_folders_and_other_values_stay(videos: Path) -> None:
    (videos / "notes.csv").write_text(CSV, encoding="utf-8-sig")
    plain, noted = by_path(videos), by_path(videos, metadata="notes.csv")
    assert (noted["a.mp4"].speaker, noted["a.mp4"].split, noted["a.mp4"].transcript) == (
        "anna",
        "test",
        "so it was said",
    )
    assert (noted["holiday/b.webm"].speaker, noted["holiday/b.webm"].transcript) == ("bert", "what was said")
    assert noted["holiday/take 1.0.MKV"].split == "val"
    assert noted["holiday/take 1.0.MKV"].speaker == "holiday"
    assert noted["a.mov"].speaker == plain["a.mov"].speaker
    assert list(noted) == list(plain)


def test_copies_across_splits_log_a_warning(videos: Path, caplog: pytest.LogCaptureFixture) -> None:
    (videos / "holiday" / "b.webm").write_bytes((videos / "a.mp4").read_bytes())
    (videos / "a.mov").write_bytes(b"")
    (videos / "holiday" / "deep" / "c.mpg").write_bytes(b"")
    lines = ["a.mp4,test", "holiday/b.webm,test", "a.mov,test", "holiday/deep/c.mpg,train"]
    notes = videos / "notes.csv"
    notes.write_text("\n".join(["path,split", *lines]))
    by_path(videos, metadata="notes.csv")
    assert "copies" not in caplog.text
    notes.write_text(notes.read_text().replace("webm,test", "webm,train"))
    by_path(videos, metadata="notes.csv")
    expected = "1 val or test videos are copies of training videos; the first is a.mp4, a copy of holiday/b.webm"
    assert expected in caplog.text


def test_json_metadata_equal_csv_metadata(videos: Path) -> None:
    (videos / "notes.csv").write_text(CSV)
    (videos / "notes.json").write_text(
        """[{"path": "a.mp4", "speaker": "anna", "split": "test", "transcript": "so it was said"},
            {"path": "holiday/b.webm", "speaker": "bert"}, {"path": "holiday/take 1.0.MKV", "split": "val"}]"""
    )
    assert by_path(videos, metadata="notes.json") == by_path(videos, metadata=videos / "notes.csv")


def test_split_by_speaker_keeps_speakers_whole(tmp_path: Path) -> None:
    for speaker in "abcdef":
        for number in range(3):
            path = tmp_path / speaker / f"{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(path.as_posix().encode())
    splits: dict[str, set[str]] = {}
    for record in by_path(tmp_path, split_by="speaker").values():
        splits.setdefault(record.speaker, set()).add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {next(iter(found)) for found in splits.values()} == {"train", "val", "test"}


def test_by_speaker_one_videos_split_holds_for_the_speakers_other_videos(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for speaker in "abcdef":
        for number in range(3):
            path = tmp_path / speaker / f"{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(path.as_posix().encode())
    notes = tmp_path / "notes.csv"
    notes.write_text("path,split\n" + "".join(f"{speaker}/0.mp4,train\n" for speaker in "abc"))
    records = by_path(tmp_path, split_by="speaker", metadata="notes.csv")
    splits = {speaker: {records[f"{speaker}/{number}.mp4"].split for number in range(3)} for speaker in "abcdef"}
    assert splits["a"] == splits["b"] == splits["c"] == {"train"}
    assert sorted(map(sorted, (splits["d"], splits["e"], splits["f"]))) == [["test"], ["train"], ["val"]]

    notes.write_text("path,split\na/0.mp4,train\na/1.mp4,test\n")
    with pytest.raises(UserError, match=r"videos of speaker 'a' into test and train and leaves others without a split"):
        by_path(tmp_path, split_by="speaker", metadata="notes.csv")
    notes.write_text(notes.read_text() + "a/2.mp4,test\n")
    assert by_path(tmp_path, split_by="speaker", metadata="notes.csv")["a/0.mp4"].split == "train"
    assert "has speaker a in several splits, despite split_by: speaker" in caplog.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path,split\na.mp4,dev\n", "row 2: split 'dev' must be one of train, val, test"),
        ("path,actor\na.mp4,x\n", "row 2: unknown column actor; allowed are path, speaker"),
        ("speaker\nanna\n", "row 2: has no path"),
        ("path\na.mp4\na.mp4\n", "row 3: a.mp4 is listed twice"),
        ("path\nb.mp4\n", "names 1 videos that do not exist below .*; the first is b.mp4"),
        ("path,speaker\na.mp4,x,y\n", "row 2: unknown column .more cells than columns"),
    ],
)
def test_errors_in_the_metadata_name_the_row(videos: Path, text: str, problem: str) -> None:
    (videos / "notes.csv").write_text(text)
    with pytest.raises(UserError, match=problem):
        by_path(videos, metadata="notes.csv")


def test_metadata_must_be_utf8_and_spaces_after_commas_are_ignored(videos: Path) -> None:
    notes = videos / "notes.csv"
    notes.write_text('path, speaker, transcript\na.mp4, Jürgen, "so, it was said"\n', encoding="latin-1")
    with pytest.raises(UserError, match=r"notes\.csv is not UTF-8 text: .*; re-save it as UTF-8"):
        by_path(videos, metadata="notes.csv")
    notes.write_text(notes.read_text(encoding="latin-1"), encoding="utf-8")
    noted = by_path(videos, metadata="notes.csv")["a.mp4"]
    assert (noted.speaker, noted.transcript) == ("Jürgen", "so, it was said")


def test_metadata_match_names_in_any_unicode_normalisation(tmp_path: Path) -> None:
    for form, name in (("NFC", "é1.mp4"), ("NFD", "é2.mp4"), ("NFC", "é3.mp4"), ("NFD", "é3.mp4")):
        (tmp_path / unicodedata.normalize(form, name)).touch()
    rows = [("NFD", "é1.mp4", "a"), ("NFC", "é2.mp4", "b"), ("NFC", "é3.mp4", "c"), ("NFD", "é3.mp4", "d")]
    lines = (f"{unicodedata.normalize(form, name)},{speaker}\n" for form, name, speaker in rows)
    (tmp_path / "notes.csv").write_text("path,speaker\n" + "".join(lines), encoding="utf-8")
    speakers = {name: record.speaker for name, record in by_path(tmp_path, metadata="notes.csv").items()}
    assert speakers == {
        unicodedata.normalize(form, name): speaker
        for form, name, speaker in (("NFC", "é1.mp4", "a"), ("NFD", "é2.mp4", "b"), *rows[2:])
    }


def test_a_video_name_that_is_not_utf8_is_an_error(videos: Path) -> None:
    (videos / os.fsdecode(b"caf\xe9.pdf")).touch()
    assert len(by_path(videos)) == 5
    (videos / os.fsdecode(b"caf\xe9.mp4")).touch()
    with pytest.raises(UserError, match=r"not UTF-8: 'caf\\udce9\.mp4'; rename the file"):
        by_path(videos)


@pytest.mark.parametrize("text", ["{", '{"path": "a.mp4"}', "[1]"])
def test_json_metadata_must_be_a_list_of_objects(videos: Path, text: str) -> None:
    (videos / "notes.json").write_text(text)
    with pytest.raises(UserError, match=r"notes\.json"):
        by_path(videos, metadata="notes.json")
    with pytest.raises(UserError, match=r"absent\.csv does not exist; correct dataset\.folder\.metadata"):
        by_path(videos, metadata="absent.csv")


@pytest.fixture
def bucket(videos: Path) -> Iterator[str]:
    """The same videos in fsspec's memory storage."""
    storage = fsspec.filesystem("memory")
    storage.store.clear()
    for path in sorted(videos.rglob("*")):
        if path.is_file():
            storage.pipe_file(f"/bucket/takes/{path.relative_to(videos).as_posix()}", path.read_bytes())
    storage.pipe_file("/bucket/takes-of-others/x.mp4", b"x")
    yield "memory://bucket/takes"
    storage.store.clear()


def test_remote_storage_gives_the_same_records_as_a_folder_on_disk(videos: Path, bucket: str) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/takes/notes.csv", CSV.encode())
    (videos / "notes.csv").write_text(CSV)
    here = list_folder_clips(params(videos, metadata="notes.csv"), seed=0)
    for root in (bucket, f"{bucket}/"):
        there = list_folder_clips(params(root, metadata="notes.csv"), seed=0, num_connections=3)
        assert [record.path for record in there] == [
            f"{bucket}/{Path(record.path).relative_to(videos).as_posix()}" for record in here
        ]
        assert [replace(record, path="") for record in there] == [replace(record, path="") for record in here]
        assert len(there) == 5


def test_a_local_metadata_file_may_describe_remote_videos(videos: Path, bucket: str, tmp_path: Path) -> None:
    notes = tmp_path / "elsewhere.csv"
    notes.write_text(CSV)
    found = {r.clip_id: r for r in list_folder_clips(params(bucket, metadata=notes), seed=0)}
    assert found["holiday/b"].speaker == "bert"
    with pytest.raises(UserError, match=r"memory://bucket/takes/gone\.csv does not exist"):
        list_folder_clips(params(bucket, metadata="gone.csv"), seed=0)


def test_an_empty_or_unreadable_remote_folder_is_an_error(bucket: str) -> None:
    with pytest.raises(UserError, match=r"memory://bucket/nothing contains no video .*dataset\.folder\.root"):
        list_folder_clips(params("memory://bucket/nothing"), seed=0)
    with pytest.raises(UserError, match=r"nosuch://bucket .*not known"):
        list_folder_clips(params("nosuch://bucket"), seed=0)


@pytest.mark.parametrize("address", ["ftp://anna:hunter2@host/videos", "filecache::ftp://anna:hunter2@host/videos"])
def test_a_password_in_the_address_is_refused_and_not_repeated(address: str, repo_root: Path) -> None:
    content = yaml.safe_load((repo_root / "params.yaml").read_text())
    content["dataset"]["folder"]["root"] = address
    with pytest.raises(ParamsError, match=r"dataset\.folder\.root: must") as caught:
        parse_params(content)
    assert "hunter2" not in str(caught.value)


def test_a_name_that_fsspec_reads_as_a_chain_of_urls_is_an_error(bucket: str) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/takes/a::b.mp4", b"x")
    with pytest.raises(UserError, match=r"memory://bucket/takes/a::b\.mp4: .*rename"):
        list_folder_clips(params(bucket), seed=0)
