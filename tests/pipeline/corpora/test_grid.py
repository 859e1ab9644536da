from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.corpora.grid import list_grid_clips, sentence_of
from pipeline.corpora.split import assign_splits
from pipeline.corpora.verify import verify_grid
from pipeline.params import GridParams

NAMES = ("bbaf2n", "lrwp9a", "sgizzs", "pwbx1p")


def params(root: Path | None, **changes: object) -> GridParams:
    values = {"speakers": (), "split_by": "clip", "val_fraction": 0.25, "test_fraction": 0.25}
    return GridParams.model_validate({"root": root, "url": None, "keep_archives": False, **values, **changes})


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for speaker in ("s1", "s2", "s10"):
        (tmp_path / speaker).mkdir()
        for name in NAMES:
            (tmp_path / speaker / f"{name}.mpg").write_bytes(f"{speaker}{name}".encode())
    (tmp_path / "align").mkdir()
    return tmp_path


def test_a_name_is_a_sentence() -> None:
    assert sentence_of("bbaf2n") == "bin blue at f two now"
    assert sentence_of("swizzs") == "set white in z zero soon"
    assert sentence_of("lrbx9p") == "lay red by x nine please"
    assert sentence_of("pgwa1a") == "place green with a one again"


@pytest.mark.parametrize(
    ("name", "problem"),
    [("bbaf2", "6 letters"), ("bbaw2n", "letter 4"), ("xbaf2n", "letter 1"), ("hq_bbaf2a", "6 letters")],
)
def test_other_names_are_refused(name: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        sentence_of(name)


def test_clips_carry_id_speaker_transcript_and_digest(corpus: Path) -> None:
    records = list_grid_clips(params(corpus), seed=1)
    assert len(records) == 12
    assert [r.speaker for r in records[::4]] == ["s1", "s2", "s10"]
    first = records[0]
    assert (first.clip_id, first.transcript) == ("s1/bbaf2n", "bin blue at f two now")
    assert first.num_bytes == len("s1bbaf2n")
    assert Path(first.path).is_absolute()
    assert len(first.sha256) == 64


def test_published_files_win_over_re_encoded_ones_and_sub_folders_count(corpus: Path) -> None:
    (corpus / "s1" / "bbaf2n.mp4").write_bytes(b"again")
    (corpus / "s1" / "video").mkdir()
    (corpus / "s1" / "video" / "sbbe5p.mp4").write_bytes(b"new")
    (corpus / "s1" / "noise.mpg").write_bytes(b"?")
    records = {r.clip_id: r for r in list_grid_clips(params(corpus, speakers=("s1",)), seed=1)}
    assert len(records) == 5
    assert records["s1/bbaf2n"].path.endswith(".mpg")
    assert records["s1/sbbe5p"].path.endswith("video/sbbe5p.mp4")


def test_suffixes_in_capitals_and_linked_folders_count(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("disk")
    (elsewhere / "sbbe5p.MPG").touch()
    (corpus / "s1" / "video").symlink_to(elsewhere)
    (corpus / "s1" / "bbaf2n.mpg").rename(corpus / "s1" / "bbaf2n.MPG")
    found = {r.clip_id for r in list_grid_clips(params(corpus, speakers=("s1",)), seed=1)}
    assert found == {f"s1/{name}" for name in (*NAMES, "sbbe5p")}


def test_split_by_clip_shares_speakers_and_follows_the_seed(corpus: Path) -> None:
    records = list_grid_clips(params(corpus), seed=1)
    assert Counter(r.split for r in records) == {"train": 6, "val": 3, "test": 3}
    assert records == list_grid_clips(params(corpus), seed=1)
    assert records != list_grid_clips(params(corpus), seed=2)


def test_split_by_speaker_keeps_speakers_whole(corpus: Path) -> None:
    records = list_grid_clips(params(corpus, split_by="speaker"), seed=1)
    by_speaker = {speaker: {r.split for r in records if r.speaker == speaker} for speaker in ("s1", "s2", "s10")}
    assert sorted(split for (split,) in by_speaker.values()) == ["test", "train", "val"]


def test_a_missing_folder_speaker_or_clip_is_an_error(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.grid\.root"):
        list_grid_clips(params(None), 0)
    with pytest.raises(UserError, match=r"absent.*dataset\.grid\.root"):
        list_grid_clips(params(tmp_path / "absent"), 0)
    with pytest.raises(UserError, match=r"no folder s7.*s1, s2, s10"):
        list_grid_clips(params(corpus, speakers=("s1", "s7")), 0)
    with pytest.raises(UserError, match="no GRID clip"):
        list_grid_clips(params(corpus / "align"), 0)


def test_verify_of_a_folder_without_clips_is_an_error(corpus: Path) -> None:
    with pytest.raises(UserError, match=r"align has no GRID clip .*dataset\.grid\.root"):
        verify_grid(corpus / "align", [])
    with pytest.raises(UserError, match="one speaker's folder"):
        verify_grid(corpus / "s1", [])
    assert [count.listed for count in verify_grid(corpus, ["align", "s2"])] == [0, 4]


def test_a_growing_corpus_keeps_nearly_all_assignments() -> None:
    names = [f"s1/{k}" for k in range(1000)]
    before = assign_splits(names[:900], 0.1, 0.1, seed=3)
    after = assign_splits(names, 0.1, 0.1, seed=3)
    assert Counter(after.values()) == {"train": 800, "val": 100, "test": 100}
    assert sum(before[name] != after[name] for name in before) < 0.05 * len(before)


def test_a_small_fraction_still_gets_one_name() -> None:
    assert Counter(assign_splits("abcd", 0.01, 0.0, seed=0).values()) == {"train": 3, "val": 1}


def test_real_corpus(shared_data: Path) -> None:
    records = list_grid_clips(params(shared_data / "grid", speakers=("s26",)), seed=0)
    assert len(records) == 10
    assert {r.transcript.split()[0] for r in records} <= {"bin", "lay", "place", "set"}
