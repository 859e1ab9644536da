"""Rows of a training curve."""

from __future__ import annotations

from pipeline.training.curve_log import merge_rows


def test_merged_rows_are_ordered_by_step() -> None:
    rows = [{"step": 2.0, "a": 1.0}, {"step": 1.0, "a": 0.0}, {"step": 2.0, "val_a": 3.0}]
    assert merge_rows(rows) == [{"step": 1.0, "a": 0.0}, {"step": 2.0, "a": 1.0, "val_a": 3.0}]
