"""Each caveat is stated when it applies, and only then."""

from __future__ import annotations

from typing import Any

from pipeline.compare.caveats import caveats_of
from tests.support.comparison_rows import ORDERED, row

MANY = [r | {"fid_num_images": 2048} for r in ORDERED]


def test_the_evaluator_and_a_small_number_of_images(protocol: dict[str, Any]) -> None:
    trained = "\n".join(caveats_of(ORDERED, protocol))
    assert "evaluator trained in this checkout" in trained and "width 0.125" in trained
    assert "0 by construction" in trained
    assert "300 images" in trained and "biased upward" in trained and "different numbers" not in trained
    assert "rejected 2 held-out clips or parts of clips (reasons: data/clips/rejects.parquet)" in trained
    official = "\n".join(caveats_of(MANY, protocol | {"evaluator": "official"}))
    assert "official syncnet_v2" in official and "biased upward" not in official
    of_judge = "\n".join(caveats_of(MANY, protocol | {"evaluator": "judge-1", "evaluator_width": 0.3125}))
    assert "come from judge-1 (the network of Chung & Zisserman 2016 at width 0.3125" in of_judge
    fewer = [*ORDERED[:1], ORDERED[1] | {"fid_num_images": 295}]
    assert "rows have different numbers: `real` 300, `lstm_cbam` 295." in "\n".join(caveats_of(fewer, protocol))


def test_without_sync_no_caveat_is_about_lse(protocol: dict[str, Any]) -> None:
    assert any("LSE" in line for line in caveats_of(ORDERED, protocol))
    assert not any("LSE" in line for line in caveats_of(ORDERED, protocol, is_about_sync=False))


def test_clips_without_a_score(protocol: dict[str, Any]) -> None:
    rows = [ORDERED[0], ORDERED[1] | {"num_failed": 3}]
    text = "\n".join(caveats_of(rows, protocol))
    assert "Clips without a score are left out of the means and listed below: `lstm_cbam` 3." in text


def test_missing_lip_metrics_have_a_reason_and_measured_ones_a_yardstick(protocol: dict[str, Any]) -> None:
    yardstick = "compare them with the row `real`"
    assert yardstick in "\n".join(caveats_of(ORDERED, protocol))
    lacks = {"opening_correlation": None, "pause_motion_px": None, "lips_missing": "not measured: no extra"}
    some = "\n".join(caveats_of([ORDERED[0], ORDERED[1] | lacks], protocol))
    assert "Not measured: no extra (rows `lstm_cbam`)." in some and yardstick in some
    none = "\n".join(caveats_of([row | lacks for row in ORDERED], protocol))
    assert "Not measured: no extra." in none and yardstick not in none


def test_generators_with_one_seed_are_named(protocol: dict[str, Any]) -> None:
    assert any(line.startswith("One training run of every generator: ") for line in caveats_of(ORDERED, protocol))
    again = row("no_lstm-2", 7.0, 4.0, repeats="no_lstm")
    mixed = [row("real", 6.0, 6.0), row("lstm_cbam", 6.5, 5.0), row("no_lstm", 7.0, 4.0), again]
    assert any(line.startswith("One training run of `lstm_cbam`: ") for line in caveats_of(mixed, protocol))
    assert not any("training run" in line for line in caveats_of([mixed[0], *mixed[2:]], protocol))


def test_rows_scored_with_other_versions_are_named(protocol: dict[str, Any]) -> None:
    rows = [*ORDERED[:1], row("no_lstm", 7.0, 4.0, versions={"numpy": "2.2.0", "torch": "2.11.0"})]
    assert "Rows were scored with different versions of `numpy` (listed below)" in "\n".join(caveats_of(rows, protocol))
    assert "different versions" not in "\n".join(caveats_of(ORDERED, protocol))
