"""Tables as Markdown and as plain text."""

from __future__ import annotations

from pipeline.report.tables import Table, bullets, wrap_bullets

TABLE = Table(["row", "note", "clips"], [["a", "one\ntwo", "7"], ["long name", "x|y", "1,000"]], num_text=2)


def test_markdown_has_one_line_a_row_and_no_cell_breaks_it() -> None:
    assert TABLE.markdown().splitlines() == [
        "| row | note | clips |",
        "| --- | --- | ---: |",
        "| a | one two | 7 |",
        "| long name | x\\|y | 1,000 |",
    ]


def test_plain_text_aligns_columns_and_continues_cells_of_several_lines() -> None:
    assert TABLE.plain().splitlines() == [
        "row        note  clips",
        "a          one       7",
        "           two",
        "long name  x|y   1,000",
    ]


def test_a_header_of_empty_strings_is_left_out_of_plain_text() -> None:
    assert Table(["", ""], [["a", "1"], ["b", "20"]]).plain().splitlines() == ["a   1", "b  20"]
    assert Table(["stage", ""], []).plain() == "stage"


def test_bullets() -> None:
    assert bullets(["a", "b"]) == "- a\n- b"


def test_items_of_lists_are_broken_at_blanks_and_tables_are_not() -> None:
    text = "- one two three\n- four\n\nname    value of a row\n"
    assert wrap_bullets(text, 10) == "- one two\n  three\n- four\n\nname    value of a row\n"
    assert wrap_bullets("- pip install 'silero-vad>=6.2.3'", 8).split("\n")[-1] == "  'silero-vad>=6.2.3'"
