"""The picture of a run, drawn to text."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from flows.board import LoggedWarning, Row, View
from flows.picture import chosen_rows, counts_text, picture, run_text
from pipeline.core.stage_events import StageProgress

HALF = StageProgress("train", 150, 300, "loss 0.031")
ROWS = (
    Row("download", "up_to_date", result="120 clips"),
    Row("train_syncnet", "ran", result="pairwise accuracy 0.934", elapsed_s=62.0),
    Row("train_evaluator", "running", HALF, elapsed_s=3725.0, left_s=20.0),
    Row("train_gan@a", "failed", result="its command exited with 3: no face in any clip", elapsed_s=6.0),
    Row("train_gan@b", "restored", result="L1 0.0312", elapsed_s=1.0),
    Row("evaluate@a", "skipped", result="train_gan@a failed"),
    Row("evaluate@b", "waiting"),
)


def drawn(view: View, width: int = 100, height: int = 40, **options: object) -> str:
    console = Console(record=True, width=width, height=height, file=io.StringIO(), **options)  # type: ignore[arg-type]
    console.print(picture(view, width, height))
    return console.export_text()


def lines_of(view: View, width: int = 100, height: int = 40) -> list[str]:
    return [line.rstrip() for line in drawn(view, width, height).splitlines()]


def test_every_state_is_drawn() -> None:
    lines = lines_of(View(ROWS, elapsed_s=3800.0, left_s=20.0))
    # The width of the columns depends on the version of rich.
    assert [re.sub(r" {2,}", "  ", line) for line in lines] == [
        "stage  state  progress or result  elapsed  left",
        "download  up to date 120 clips",
        "train_syncnet  ran  pairwise accuracy 0.934  1:02",
        "train_evaluator running  ████████░░░░░░░░ 150/300, loss 0.031  1:02:05  0:20",
        "train_gan@a  failed  its command exited with 3: no face in any clip  0:06",
        "train_gan@b  restored  L1 0.0312  0:01",
        "evaluate@a  skipped  train_gan@a failed",
        "evaluate@b  waiting",
        "whole run: 1:03:20 elapsed, time left: about 0:20",
    ]


def test_eighty_columns_suffice_for_long_names_and_counts() -> None:
    row = Row(
        "train_gan@no_lstm_cbam", "running", StageProgress("train", 1500, 30000, "l1 0.0312"), "", 36000.0, 72000.0
    )
    assert lines_of(View((row,)), width=80)[1] == (
        "train_gan@no_lstm_cbam running    ░░░░░░ 1500/30000, l1 0.0312 10:00:00 20:00:00"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    warnings = tuple(LoggedWarning("train_syncnet", f"{'long ' * 60}{number}") for number in range(3))
    text = drawn(View(ROWS, unknown=("evaluate@b",), warnings=warnings), width)
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) == 1 + len(ROWS) + 1 + 3


def test_a_count_without_a_total_and_bytes_without_their_digits() -> None:
    rows = (
        Row("a", "running", StageProgress("detect", 7, None, "1.5 frames/s")),
        Row("b", "running", StageProgress("download", 12_500_000_000, 50_000_000_000, "12.5 MB/s")),
        Row("c", "running", StageProgress("score", 0, 0)),
        Row("d", "running"),
    )
    middles = [line[17:].strip() for line in lines_of(View(rows))[1:5]]
    assert middles[0] == "7, 1.5 frames/s"
    assert middles[1] == "████░░░░░░░░░░░░ 25%, 12.5 MB/s"
    assert middles[2] == f"{'█' * 16} 0/0"
    assert middles[3] == ""


@pytest.mark.parametrize("height", [5, 8, 12, 24, 30])
def test_a_short_terminal_shows_what_runs_and_failed_and_counts_the_others(height: int) -> None:
    rows = [Row(f"evaluate@{number}") for number in range(21)]
    rows[12], rows[15] = Row("evaluate@12", "running"), Row("evaluate@15", "failed", result="no face")
    warnings = tuple(LoggedWarning("compare", f"warning {number}") for number in range(5))
    lines = lines_of(View((*rows, Row("compare", "up_to_date")), warnings=warnings), height=height)
    assert len(lines) < height
    assert any(line.startswith("evaluate@12") for line in lines)
    assert height < 8 or any(line.startswith("evaluate@15") for line in lines)
    shown = sum(line.startswith(("evaluate", "compare")) for line in lines)
    rest = [line for line in lines if line.startswith("not shown: ")]
    assert (shown < 22) == bool(rest)
    if height == 8:
        assert rest == ["not shown: 17 waiting, 1 up to date"]


def test_rows_keep_their_order_and_finished_ones_come_before_waiting_ones() -> None:
    assert chosen_rows(ROWS, 7) == list(ROWS)
    assert [row.stage for row in chosen_rows(ROWS, 5)] == [
        "train_syncnet",
        "train_evaluator",
        "train_gan@a",
        "train_gan@b",
    ]
    assert [row.stage for row in chosen_rows(ROWS, 4)] == ["train_evaluator", "train_gan@a", "train_gan@b"]
    assert [row.stage for row in chosen_rows(ROWS, 3)] == ["train_evaluator", "train_gan@a"]


def test_states_are_counted_in_words() -> None:
    assert counts_text([Row("a"), Row("b", "up_to_date"), Row("c")]) == "2 waiting, 1 up to date"


def test_an_unknown_time_is_no_number() -> None:
    row = (Row("a"),)
    assert run_text(View(row, 5.0, 61.0)).endswith("time left: about 1:01")
    assert run_text(View(row, 5.0, 0.0, unknown=("a",))).endswith("time left: unknown")
    some_unknown = View(row, 5.0, 61.0, unknown=("train@a", "train@b", "c"))
    assert run_text(some_unknown).endswith("time left: at least 1:01 (no estimate yet for train, c)")
    assert run_text(View((), 5.0)) == "finding out which stages have to run, 0:05 elapsed"


def test_the_last_warnings_are_shown_with_their_stage_once() -> None:
    texts = ["train_gan: accuracy is low", "no score for a", "no score for b", "no score for c"]
    warnings = tuple(LoggedWarning("train_gan@a", text) for text in texts)
    assert lines_of(View(ROWS, warnings=warnings))[-3:] == [
        "warning: train_gan@a: no score for a",
        "warning: train_gan@a: no score for b",
        "warning: train_gan@a: no score for c",
    ]
    assert lines_of(View(ROWS, warnings=warnings[:1]))[-1] == "warning: train_gan@a: accuracy is low"


def test_the_text_is_the_same_without_colour() -> None:
    view = View(ROWS, unknown=("evaluate@b",))
    coloured = drawn(view, force_terminal=True, color_system="truecolor")
    assert drawn(view, no_color=True, force_terminal=True) == coloured
    assert all(row.state.replace("_", " ") in coloured for row in ROWS)


def test_text_that_looks_like_markup_is_drawn_as_it_is() -> None:
    row = Row("a", "failed", result="KeyError: [bold] in [a.mp4]\nsecond line")
    assert "KeyError: [bold] in [a.mp4] second line" in drawn(View((row,)))
