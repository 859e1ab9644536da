"""The corpus of a judge."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.corpora import judge
from pipeline.corpora.judge import METADATA, JudgeCorpus, make_judge_corpus
from pipeline.media.file import MediaFile


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JudgeCorpus:
    """Two speakers of GRID with 50 files each, three videos of others, and 31 speakers that are not rendered."""
    for name in ("s1", "s26"):
        folder = tmp_path / "grid" / name
        folder.mkdir(parents=True)
        for number in range(50):
            (folder / f"{number:02d}.mpg").write_bytes(b"video")
        (folder / "notes.txt").write_text("no video")
    others = tmp_path / "others"
    others.mkdir()
    for name in ("s2_a.mp4", "hq_s2_b.mpg", "s1_c.webm"):
        (others / name).write_bytes(b"video")
    monkeypatch.setattr(judge, "_render_missing", lambda *arguments: None)
    return JudgeCorpus(tmp_path / "grid", others, num_speakers=31, num_clips_per_speaker=2)


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / METADATA).read_text().splitlines()))


def test_held_out_rendered_speakers_are_in_one_split_and_speakers_of_grid_in_all(
    corpus: JudgeCorpus, tmp_path: Path
) -> None:
    make_judge_corpus(corpus, tmp_path / "clips", 1)
    splits: dict[str, list[str]] = defaultdict(list)
    for row in rows_of(tmp_path / "clips"):
        splits[row["speaker"]].append(row["split"])
    rendered = {name: set(of) for name, of in splits.items() if name.startswith("r")}
    assert len(rendered) == 31 and all(len(of) == 1 for of in rendered.values())
    assert {name for name, of in rendered.items() if of == {"test"}} == {"r0000", "r0015", "r0030"}
    assert {name for name, of in rendered.items() if of == {"val"}} == {"r0007"}
    for name in ("s1", "s26"):
        assert [splits[name].count(split) for split in ("train", "val", "test")] == [46, 1, 3]


def test_other_people_are_tested_only_and_a_known_person_is_not_among_them(corpus: JudgeCorpus, tmp_path: Path) -> None:
    make_judge_corpus(corpus, tmp_path / "clips", 1)
    unseen = [row for row in rows_of(tmp_path / "clips") if row["path"].startswith("unseen/")]
    assert {row["path"] for row in unseen} == {"unseen/s2_a.mp4", "unseen/hq_s2_b.mpg"}
    assert {(row["speaker"], row["split"]) for row in unseen} == {("unseen-s2", "test")}


def test_every_listed_file_exists_and_a_second_call_changes_nothing(corpus: JudgeCorpus, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    make_judge_corpus(corpus, folder, 1)
    before = (folder / METADATA).read_bytes()
    real = [row["path"] for row in rows_of(folder) if not row["path"].startswith("rendered/")]
    assert len(real) == 102 and all((folder / path).is_file() for path in real)
    make_judge_corpus(corpus, folder, 1)
    assert (folder / METADATA).read_bytes() == before


def test_a_missing_speaker_is_named(corpus: JudgeCorpus, tmp_path: Path) -> None:
    (tmp_path / "grid" / "s26").rename(tmp_path / "grid" / "s27")
    with pytest.raises(
        UserError, match="s26 is not a folder with videos; --grid must name the folder that holds the GRID speakers"
    ):
        make_judge_corpus(corpus, tmp_path / "clips", 1)


@pytest.mark.slow
def test_clips_are_rendered_in_sizes_that_vary_with_the_speaker(tmp_path: Path) -> None:
    corpus = JudgeCorpus(tmp_path, num_speakers=4, num_clips_per_speaker=1)
    judge._render_missing(corpus, tmp_path, 1)
    sizes = set()
    for path in sorted((tmp_path / "rendered").rglob("*.mp4")):
        with MediaFile(path) as media:
            assert media.header.num_frames == 75 and media.header.has_audio
            sizes.add(media.display.width)
    assert len(list((tmp_path / "rendered").rglob("*.mp4"))) == 4
    assert len(sizes) > 1 and sizes <= set(judge.SIZES_PX)
