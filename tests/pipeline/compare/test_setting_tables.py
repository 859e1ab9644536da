"""The tables of settings: versions of packages."""

from __future__ import annotations

from pipeline.compare.setting_tables import version_table
from tests.support.comparison_rows import ORDERED, row


def test_versions_have_a_column_for_each_row_only_if_they_differ() -> None:
    assert version_table(ORDERED).header == ["package", "version"]
    assert version_table(ORDERED).cells == [["numpy", "2.1.0"]]
    rows = [*ORDERED[:1], row("no_lstm", 7.0, 4.0, versions={"numpy": "2.2.0", "torch": "2.11.0"})]
    assert version_table(rows).header == ["package", "`real`", "`no_lstm`"]
    assert version_table(rows).cells == [["numpy", "2.1.0", "2.2.0"], ["torch", "-", "2.11.0"]]
