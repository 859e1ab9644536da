"""Consistent counts, percentiles of known values, and the worst clips."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.corpora.manifest import write_manifest
from pipeline.doctor import data
from pipeline.doctor.check import Status
from pipeline.doctor.data import numbers, read_survey, sum_check
from pipeline.doctor.data_report import data_markdown
from pipeline.doctor.measures import BY_NAME, CLIP_MEASURES, measure_spread, measured, values_of, worst_clips
from pipeline.shards.index import IndexRow
from tests.support.tiny_clips import MakeData, record


def row(clip_id: str = "a/1", num_frames: int = 50, **stats: float) -> IndexRow:
    return IndexRow(
        clip_id=clip_id,
        key=clip_id.replace("/", "_"),
        speaker=clip_id.split("/")[0],
        split="train",
        shard="train/train-00000.tar",
        fps=25.0,
        num_frames=num_frames,
        num_samples=640 * num_frames,
        num_bytes=1,
        stats=stats,
    )


@pytest.fixture
def two_speakers(make_data: MakeData) -> None:
    make_data(
        {"a/1": ("train", {}), "a/2": ("train", {}), "b/1": ("val", {}), "b/2": ("test", {}), "b/3": ("test", {})},
        {"b/4": ("train", "no_face"), "b/5": ("test", "face_lost"), "b/6": ("train", "no_face"), "c/1": ("val", "x")},
    )


@pytest.mark.usefixtures("two_speakers")
def test_kept_and_rejected_add_up_to_listed_everywhere(layout: Layout) -> None:
    survey = read_survey(layout)
    total = survey.total
    assert (total.listed, total.kept, total.rejected) == (9, 5, 4)
    assert total.rejected_share == pytest.approx(4 / 9)
    assert [(t.name, t.listed, t.kept, t.rejected) for t in survey.splits] == [
        ("train", 4, 2, 2),
        ("val", 2, 1, 1),
        ("test", 3, 2, 1),
    ]
    assert [(t.name, t.listed, t.kept, t.rejected) for t in survey.speakers] == [
        ("c", 1, 0, 1),
        ("b", 6, 3, 3),
        ("a", 2, 2, 0),
    ]
    for tallies in (survey.splits, survey.speakers):
        assert all(tally.kept + tally.rejected == tally.listed for tally in tallies)
        assert sum(tally.listed for tally in tallies) == total.listed
    assert survey.reasons == {"no_face": 2, "face_lost": 1, "x": 1}
    assert survey.minutes == pytest.approx(5 * 0.2 / 60)
    assert sum_check("data", survey).status is Status.OK


def test_the_share_of_a_reason_is_of_all_parts_of_the_clips(layout: Layout, make_data: MakeData) -> None:
    parts = [f"a/1-{number}" for number in range(1, 4)]
    make_data({parts[0]: ("train", {})}, dict.fromkeys(parts[1:], ("train", "no_face")))
    write_manifest(layout.manifest_path, [record("a/1", "train")])
    (table,) = [text for text in data_markdown(read_survey(layout), None, [], []) if "no_face" in text]
    assert table.splitlines()[-1].split("|")[-3:-1] == [" 2 ", " 66.7% "]


@pytest.mark.parametrize("fault", ["lost", "unlisted"])
def test_shards_of_another_list_of_clips_fail(layout: Layout, make_data: MakeData, fault: str) -> None:
    kept = {"a/1": ("train", {}), "a/2": ("train", {})}
    make_data(kept, lost=["a/9"]) if fault == "lost" else make_data(kept, unlisted=["a/2"])
    check = sum_check("data", read_survey(layout))
    assert check.status is Status.FAIL
    assert "dvc repro sync_filter" in check.remedy
    assert ("1 listed clips are in neither" if fault == "lost" else "1 are not listed") in check.found


def test_another_list_of_the_same_length_fails_too(layout: Layout, make_data: MakeData) -> None:
    make_data({"a/1": ("train", {}), "a/2": ("train", {})}, unlisted=["a/2"], lost=["a/9"])
    check = sum_check("data", read_survey(layout))
    assert check.status is Status.FAIL
    assert "1 are not listed" in check.found


def test_a_missing_table_is_an_error_with_the_command(layout: Layout, make_data: MakeData) -> None:
    with pytest.raises(UserError, match="dvc repro download"):
        read_survey(layout)
    make_data({"a/1": ("train", {})})
    (layout.shards_dir / "rejects.parquet").unlink()
    with pytest.raises(UserError, match=r"1 clips are listed, but .*dvc repro sync_filter"):
        read_survey(layout)
    (layout.shards_dir / "index.parquet").unlink()
    with pytest.raises(UserError, match=r"1 clips are listed, but .*dvc repro sync_filter"):
        read_survey(layout)


@pytest.mark.usefixtures("two_speakers")
def test_each_table_is_read_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(layout.shards_dir, layout.clips_dir)
    folders: list[Path] = []
    real = data.read_index

    def read_index(folder: Path) -> list[IndexRow]:
        folders.append(folder)
        return real(folder)

    monkeypatch.setattr(data, "read_index", read_index)
    survey = read_survey(layout)
    assert (survey.folder, survey.has_old_sync_check) == (layout.clips_dir, False)
    assert folders == [layout.shards_dir, layout.clips_dir]


def test_the_digest_changes_with_the_tables(layout: Layout, make_data: MakeData) -> None:
    make_data({"a/1": ("train", {})})
    first = read_survey(layout).digest
    assert read_survey(layout).digest == first
    make_data({"a/1": ("train", {"brightness": 99.0})})
    assert read_survey(layout).digest != first


@pytest.mark.usefixtures("two_speakers")
def test_metrics_for_mlflow(layout: Layout) -> None:
    found = numbers(read_survey(layout))
    assert (found["all.num_listed"], found["train.num_rejected"], found["rejected.no_face"]) == (9, 2, 2)
    assert found["test.face_px.median"] == 120
    assert found["test.face_px.p05"] == found["test.face_px.p95"] == 120
    assert found["num_speakers"] == 3


def test_percentiles_and_units() -> None:
    rows = [row(f"a/{k}", face_px=float(k), audio_rms=0.1, face_missing=0.25) for k in range(101)]
    spread = measure_spread(rows, BY_NAME["face_px"])
    assert spread == (101, 5.0, 50.0, 95.0)
    assert values_of(rows, BY_NAME["audio_db"]) == pytest.approx([-20] * 101)
    assert values_of(rows, BY_NAME["face_missing"]) == pytest.approx([25] * 101)
    assert values_of(rows, BY_NAME["length_s"]) == pytest.approx([2.0] * 101)
    assert values_of([row(audio_rms=0.0)], BY_NAME["audio_db"]) == [-100]
    assert BY_NAME["audio_db"].text(-20.04) == "-20.0 dBFS"
    assert BY_NAME["face_missing"].text(12.34) == "12.3%"


def test_measures_that_an_index_lacks_are_omitted() -> None:
    rows = [row("a/1", face_px=100.0), row("a/2", sync_confidence=float("nan"))]
    assert [measure.name for measure in measured(rows)] == ["face_px", "length_s"]
    assert measure_spread(rows, BY_NAME["sync_confidence"]) is None
    assert len(values_of(rows, BY_NAME["face_px"])) == 1
    assert measured([]) == []


def test_worst_clips_come_from_the_bad_end() -> None:
    rows = [
        row(f"a/{k}", face_px=p, face_missing=m, face_motion=0.1)
        for k, p, m in ((0, 90, 0), (1, 50, 0.2), (2, 70, 0.1))
    ]
    assert [r.clip_id for r, _ in worst_clips(rows, BY_NAME["face_px"], 2)] == ["a/1", "a/2"]
    assert [v for _, v in worst_clips(rows, BY_NAME["face_missing"], 9)] == pytest.approx([20, 10])  # 0 is not bad
    assert [r.clip_id for r, _ in worst_clips(rows[::-1], BY_NAME["face_motion"], 9)] == ["a/0", "a/1", "a/2"]


def test_measures_have_unique_names() -> None:
    assert len(BY_NAME) == len(CLIP_MEASURES)
