"""Drift of the list of clips since the champion's promotion, and what it does to retraining."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.choices import DriftAction
from pipeline.core.layout import Layout
from pipeline.corpora import drift
from pipeline.corpora.manifest import ClipRecord, write_manifest
from pipeline.params import DriftParams

CLIPS = [
    ClipRecord(f"c{number:02d}", f"s{number % 2}", "train", f"{number}.mp4", 1000 + number, "", "three words here")
    for number in range(40)
]


def limits(then: DriftAction = "report") -> DriftParams:
    return DriftParams(max_psi=0.2, max_ks=0.2, then=then)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    write_manifest(layout.champion_manifest_path, CLIPS)
    write_manifest(layout.manifest_path, CLIPS)
    return layout


def drifting(found: list[drift.ColumnDrift]) -> set[str]:
    return {column.column for column in found if column.drifts}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, set()),
        ({"speaker": "s0"}, {"speaker"}),
        ({"split": "test"}, {"split"}),
        ({"num_bytes": 9}, {"num_bytes"}),
        ({"transcript": "four words are here"}, {"num_words"}),
        ({"path": "elsewhere", "sha256": "f"}, set()),
    ],
)
def test_the_column_that_changed_drifts(changed: dict[str, str], expected: set[str]) -> None:
    current = [replace(clip, **changed) for clip in CLIPS]
    assert drifting(drift.column_drifts(CLIPS, current, limits())) == expected


@pytest.mark.parametrize(
    ("then", "stops_with_drift", "stops_without"),
    [("report", False, False), ("retrain", False, True), ("refuse", True, False)],
)
def test_the_rule_decides_whether_to_retrain(
    layout: Layout, then: DriftAction, stops_with_drift: bool, stops_without: bool
) -> None:
    assert drift.measure(layout, limits(then))["stops"] is stops_without
    write_manifest(layout.manifest_path, [replace(clip, num_bytes=9) for clip in CLIPS])
    found = drift.measure(layout, limits(then))
    assert found["stops"] is stops_with_drift
    assert "num_bytes has PSI" in found["text"] and "(limit 0.2)" in found["text"] and "and KS 1.000" in found["text"]


def test_without_a_reference_or_with_few_clips_nothing_is_measured_and_retraining_goes_on(layout: Layout) -> None:
    write_manifest(layout.manifest_path, CLIPS[:5])
    few = drift.measure(layout, limits("refuse"))
    assert "it needs 20 clips on each side (40 clips at the champion's promotion, 5 now)" in few["text"]
    layout.champion_manifest_path.unlink()
    none = drift.measure(layout, limits("retrain"))
    assert "no list of the clips of the champion" in none["text"]
    assert not few["stops"] and not none["stops"] and not none["columns"]


def test_the_command_writes_what_the_flow_reads(layout: Layout, repo_root: Path) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, layout.root)
    assert drift.main(["--root", str(layout.root)]) == 0
    written = json.loads(layout.drift_path.read_text())
    assert written["text"].startswith("No drift of the clips since the champion's promotion (40 clips then, 40 now)")
    assert [column["column"] for column in written["columns"]] == ["speaker", "split", "num_bytes", "num_words"]
