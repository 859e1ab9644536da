from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.compare.intervals import mean_interval
from pipeline.compare.table import ClipScore, comparison, csv_text, intervals_over_clips, read_result, shared_protocol
from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.metrics import OF_EVALUATOR

ARMS = ("lstm_cbam", "no_lstm", "no_cbam", "no_lstm_cbam")
WriteResult = Callable[..., Path]


def test_one_row_per_variant_with_finite_figures(
    write_result: WriteResult, tmp_path: Path, protocol: dict[str, Any]
) -> None:
    names = ("real", *ARMS, "copy_input")
    results = [read_result(write_result(name)) for name in names]
    content = comparison(results, 0.95, 200, seed=1)
    atomic.write_json(tmp_path / "comparison.json", content)  # refuses what is not finite
    assert [row["variant"] for row in content["rows"]] == list(names)
    wanted = {"variant", "lse_d", "lse_c", "fid", "num_clips", "num_failed", "seconds"}
    for row in content["rows"]:
        assert wanted <= row.keys()
        for name in ("lse_d", "lse_c", "within_one_frame", "jitter_ratio"):
            low, high = row[f"{name}_ci"]
            assert low <= row[name] <= high
        assert math.isfinite(row["fid"])
    assert content["protocol"] == protocol


def test_a_video_with_several_voices_is_no_further_evidence() -> None:
    """Pairs of one video score alike: intervals are as wide as those of the videos alone."""
    values = np.random.default_rng(0).normal(8, 1, 20)
    one = ClipScore(lse_d=8.0, lse_c=3.0, offset_frames=0, mouth_jitter=1.0, real_mouth_jitter=2.0)
    scores = [
        dataclasses.replace(one, lse_d=value, lse_c=value, offset_frames=9 * (number < 5), mouth_jitter=value)
        for number, value in enumerate(values)
    ]
    single = {(f"v{number}", "a"): score for number, score in enumerate(scores)}
    several = {(video, voice): score for (video, _), score in single.items() for voice in "abcdefgh"}
    settings = 0.95, 500, 3
    alone, often = intervals_over_clips(single, *settings), intervals_over_clips(several, *settings)
    assert alone["lse_d_ci"] == list(dataclasses.astuple(mean_interval(values, *settings)))
    for name, bounds in alone.items():
        assert often[name] == pytest.approx(bounds), name


def test_failed_clips_are_counted_and_stay_out_of_the_intervals(write_result: WriteResult) -> None:
    failed = [{"clip_id": "broken", "reason": "too short"}]
    result = read_result(write_result("lstm_cbam", lse_d=(5.0,) * 8, lse_c=(1.0,) * 8, failures=failed))
    (row,) = comparison([result], 0.95, 100, seed=1)["rows"]
    assert (row["num_clips"], row["num_failed"]) == (8, 1)
    assert row["lse_d_ci"] == [5.0, 5.0]


@pytest.mark.parametrize("key", ["pairing_sha256", "evaluator", "evaluator_sha256", "every_n_frames"])
def test_refuses_rows_of_different_protocols(write_result: WriteResult, protocol: dict[str, Any], key: str) -> None:
    changed = protocol | {key: "other", "sha256": "0" * 64}
    results = [read_result(write_result("real")), read_result(write_result("no_lstm", protocol=changed))]
    with pytest.raises(UserError, match=rf"no_lstm and real have different protocols: protocol\.{key} is 'other'"):
        shared_protocol(results)


def test_missing_result_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        read_result(tmp_path / "evaluate" / "no_lstm")


@pytest.mark.parametrize(("within_one_frame", "copy_lse_c"), [(0.79, 1.0), (1.0, 2.1)])
def test_what_an_evaluator_measures_that_cannot_judge_is_none(
    write_result: WriteResult, within_one_frame: float, copy_lse_c: float
) -> None:
    """It places too few real videos, or scores them worse than the same videos with foreign audio."""
    results = [
        read_result(write_result("real", within_one_frame=within_one_frame)),
        read_result(write_result("no_lstm")),
        read_result(write_result("copy_input", lse_d=[9.0] * 9, lse_c=[copy_lse_c] * 9)),
    ]
    content = comparison(results, 0.95, 100, seed=1)
    assert content["fitness"]["is_fit"] is False and "cannot judge these clips" in content["fitness"]["text"]
    assert content["differences"] == {}
    for row in content["rows"]:
        assert {name for name, value in row.items() if value is None} == {
            name for name in row if name.removesuffix("_ci") in OF_EVALUATOR
        }
        assert (row["lse_d"], row["lse_c_ci"], row["within_one_frame"]) == (None, None, None)
        assert row["fid"] == 10.0 and row["jitter_ratio_ci"] == [1.0, 1.0]
    assert csv_text(content["rows"]).splitlines()[1] == "real,,,10.0"


def test_csv_has_the_headline_figures(write_result: WriteResult) -> None:
    content = comparison([read_result(write_result("real", fid=0.0))], 0.9, 50, seed=1)
    (row,) = csv.DictReader(io.StringIO(csv_text(content["rows"])))
    assert row == {"variant": "real", "lse_d": "7.0", "lse_c": "2.0", "fid": "0.0"}
