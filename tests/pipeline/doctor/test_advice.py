"""Each hint is given if and only if its condition holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.doctor.advice import REMEDIES, hints, remedy_of
from pipeline.doctor.data import Survey
from pipeline.params import Params
from pipeline.preprocess.reasons import Reason
from pipeline.shards.index import IndexRow
from pipeline.sync_filter.decision import SyncReason
from tests.support.tiny_clips import STATS, record, reject

LONG = 25 * 60 * 10
"""Number of frames in ten minutes."""


def rows(speakers: Mapping[str, int], split: str = "train", num_frames: int = LONG, **stats: float) -> list[IndexRow]:
    """Return index rows. ``speakers``: speaker -> number of clips."""
    return [
        IndexRow(
            clip_id=f"{speaker}/{split}{k}",
            key=f"{speaker}_{split}{k}",
            speaker=speaker,
            split=split,
            shard="",
            fps=25.0,
            num_frames=num_frames,
            num_samples=0,
            num_bytes=0,
            stats=STATS | stats,
        )
        for speaker, num in speakers.items()
        for k in range(num)
    ]


def survey(kept: Sequence[IndexRow], reasons: Sequence[str] = ()) -> Survey:
    rejects = [reject(f"z/{k}", "train", reason) for k, reason in enumerate(reasons)]
    listed = [record(row.clip_id, row.split) for row in (*kept, *rejects)]
    return Survey(Path(), False, listed, kept, rejects, digest="")


GOOD = [*rows({f"s{k}": 2 for k in range(12)}), *rows({"t1": 2, "t2": 2}, "test")]


def test_good_data_give_no_hint(params: Params) -> None:
    assert hints(survey(GOOD), params) == []
    assert hints(survey([]), params) == []


def test_many_rejects_name_the_reason_and_its_key(params: Params) -> None:
    (hint,) = hints(survey(GOOD, ["face_too_small"] * 3 + ["no_audio"]), params)
    assert hint.startswith("12% of the clips are rejected, 3 of 4 for `face_too_small`")
    assert f"params.yaml: preprocess.min_face_px ({params.preprocess.min_face_px})" in hint
    (hint,) = hints(survey(GOOD, ["face_too_small"] * 2), None)
    assert hint.endswith("lower params.yaml: preprocess.min_face_px.")
    assert hints(survey(GOOD, ["no_audio"]), params) == []  # 1 of 29


def test_every_reason_has_a_remedy_with_keys_that_exist(params: Params) -> None:
    assert set(REMEDIES) == {reason.value for reason in (*Reason, *SyncReason)}
    for reason in REMEDIES:
        assert "{" not in remedy_of(reason, params)
        assert "{" not in remedy_of(reason, None)
    assert "rejects.parquet" in remedy_of("a reason of a later version", params)


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        ({"face_px": 80.0}, "smaller than the generators' crops of 96 px"),
        ({"face_missing": 0.2}, "face was missing in over 10% of the frames"),
        ({"brightness": 30.0}, "are dark"),
        ({"audio_rms": 0.005}, "quieter than -40 dBFS"),
        ({"audio_clipped": 0.01}, "recorded too loud"),
        ({"source_fps": 15.0}, "frames per second"),
        ({"sync_offset_frames": -3.0}, "out of sync (median -3.0)"),
    ],
)
def test_many_bad_clips_give_a_hint_and_one_does_not(params: Params, stats: Mapping[str, float], words: str) -> None:
    all_bad = [*rows({f"s{k}": 2 for k in range(12)}, **stats), *rows({"t1": 2, "t2": 2}, "test", **stats)]
    (hint,) = hints(survey(all_bad), params)
    assert hint.startswith(("100%", "In 100%"))
    assert words in hint
    one_bad = [*GOOD, *rows({"s0": 1}, "val", **stats)]
    if "sync_offset_frames" not in stats:  # here the clip is the only one with an offset
        assert hints(survey(one_bad), params) == []


def test_corrected_offsets_give_no_hint(params: Params) -> None:
    found = rows({f"s{k}": 2 for k in range(12)}, sync_offset_frames=-3.0)
    corrected = [replace(row, sync_shift_frames=-3) for row in found]
    assert hints(survey([*corrected, *rows({"t": 2}, "test")]), params) == []
    assert hints(survey([*found, *rows({"t": 2}, "test")]), params) != []


@pytest.mark.parametrize(
    ("speakers", "is_given"),
    [({"a": 9, **{f"s{k}": 1 for k in range(11)}}, True), ({f"s{k}": 1 for k in range(12)}, False)],
)
def test_one_speaker_that_dominates(params: Params, speakers: Mapping[str, int], is_given: bool) -> None:
    found = hints(survey(rows(speakers)), params)
    assert [hint.startswith("Speaker a has 45% of the training clips") for hint in found] == [True] * is_given


def test_of_two_speakers_more_than_three_quarters_dominate(params: Params) -> None:
    assert not any("Balance" in hint for hint in hints(survey(rows({"a": 6, "b": 3})), params))
    assert any("Speaker a has 80%" in hint for hint in hints(survey(rows({"a": 8, "b": 2})), params))


def test_few_speakers_shared_speakers_and_few_minutes(params: Params) -> None:
    found = hints(survey([*rows({"a": 2, "b": 2}, num_frames=750), *rows({"a": 2}, "test")]), params)
    assert [hint.split(":")[0] for hint in found] == [
        "2 training speakers",
        "Every test speaker is also in the training split",
        "2 minutes of training data",
    ]
    assert hints(survey(rows({"a": 10})), params) == [
        "1 training speaker: expect good scores on this one and poor scores on other faces and voices."
    ]
