from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.corpora.lrs2 import list_lrs2_clips, read_transcript

CLIPS = {"train": ["100/00001", "100/00002"], "val": ["200/00001"], "test": ["300/00007"]}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for split, clip_ids in CLIPS.items():
        extra = " NF" if split == "test" else ""
        (tmp_path / f"{split}.txt").write_text("".join(f"{clip_id}{extra}\n" for clip_id in clip_ids))
        for clip_id in clip_ids:
            video = tmp_path / "mvlrs_v1" / "main" / f"{clip_id}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            video.write_bytes(clip_id.encode())
            video.with_suffix(".txt").write_text("Text:  WHEN THEY  MET\nConf:  4\n")
    return tmp_path


def test_lists_decide_the_split(corpus: Path) -> None:
    records = {r.clip_id: r for r in list_lrs2_clips(corpus)}
    assert {name: r.split for name, r in records.items()} == {
        clip_id: split for split, clip_ids in CLIPS.items() for clip_id in clip_ids
    }
    test = records["300/00007"]
    assert (test.speaker, test.transcript) == ("300", "WHEN THEY MET")


def test_lists_may_lie_inside_mvlrs_v1(corpus: Path) -> None:
    (corpus / "val.txt").rename(corpus / "mvlrs_v1" / "val.txt")
    assert len(list_lrs2_clips(corpus)) == 4


def test_a_list_may_begin_with_a_byte_order_mark_and_must_be_utf8(corpus: Path) -> None:
    plain = list_lrs2_clips(corpus)
    (corpus / "val.txt").write_text("200/00001\r\n", encoding="utf-8-sig")
    assert list_lrs2_clips(corpus) == plain
    (corpus / "val.txt").write_text("200/00001\n", encoding="utf-16")
    with pytest.raises(UserError, match=r"val\.txt is not UTF-8 text: .*; re-save it as UTF-8"):
        list_lrs2_clips(corpus)


def test_a_clip_in_two_splits_is_an_error(corpus: Path) -> None:
    (corpus / "val.txt").write_text("100/00001\n")
    with pytest.raises(UserError, match=r"100/00001 is in both train\.txt and val\.txt"):
        list_lrs2_clips(corpus)


def test_missing_folders_clips_and_lists_are_errors(corpus: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.lrs2\.root"):
        list_lrs2_clips(None)
    with pytest.raises(UserError, match="no mvlrs_v1/main"):
        list_lrs2_clips(corpus / "mvlrs_v1")
    (corpus / "mvlrs_v1" / "main" / "200" / "00001.mp4").unlink()
    with pytest.raises(UserError, match=r"1 of 4 listed clips.*200/00001\.mp4"):
        list_lrs2_clips(corpus)
    (corpus / "test.txt").unlink()
    with pytest.raises(UserError, match=r"no test\.txt"):
        list_lrs2_clips(corpus)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello there\n", "hello there"),
        ("", ""),
        ("\n\n  hello\n", "hello"),
        ("Conf: 3\nText: A B\n", "A B"),
        ("\ufeffText:  A B\nConf:  3\n", "A B"),
        (None, ""),
    ],
)
def test_transcripts(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "clip.txt").write_text(text)
    assert read_transcript(tmp_path / "clip.mp4") == words
