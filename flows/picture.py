"""The picture of a run on a terminal: a table of the stages, the time left, the last warnings.

Drawing is a pure function of a `View` and the terminal's size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.board import Row, RowState, View
from pipeline.core.durations import duration_text

_MOST_WARNINGS = 3
_FEWEST_LINES_FOR_WARNINGS = 12
_WIDE = 100
"""Columns from which the progress bars are longer."""
_STATE_WIDTH, _TIME_WIDTH = len("up to date"), len("1:02:05")
"""Least widths, so that columns stay in place when a stage starts or ends."""
_MOST_COUNTED = 1_000_000
"""Larger totals, such as bytes, are shown in per cent."""
_STYLES: dict[RowState, str] = {"running": "bold", "failed": "bold red", "waiting": "dim", "up_to_date": "dim"}
_FINISHED: tuple[RowState, ...] = ("ran", "restored")
_URGENCY: tuple[tuple[RowState, ...], ...] = (("failed", "running"), _FINISHED, ("waiting",))
"""States in the order in which their rows are shown if not all fit."""


def picture(view: View, width: int, height: int) -> Group:
    """The run as lines for a terminal of ``width`` columns and ``height`` lines.

    If the table does not fit, failed and running stages are shown first, and the others are counted.
    """
    warnings = view.warnings[-_MOST_WARNINGS:] if height >= _FEWEST_LINES_FOR_WARNINGS else ()
    below = [_one_line(run_text(view)), *(_one_line(f"warning: {warning.line}") for warning in warnings)]
    num_rows = height - len(below) - 2  # the header, and the line of the cursor
    shown = chosen_rows(view.rows, num_rows)
    name_width = max((len(row.stage) for row in view.rows), default=0)
    parts: list[Table | Text] = [_table(shown, width, name_width)] if shown else []
    if rest := [row for row in view.rows if row not in shown]:
        parts.append(_one_line(f"not shown: {counts_text(rest)}", "dim"))
    return Group(*parts, *below)


def chosen_rows(rows: Sequence[Row], num_lines: int) -> list[Row]:
    """The rows that fit into ``num_lines``, in their order; a line is kept for the count of the others.

    First come failed and running stages, then the last ones that finished, then the next ones that wait.
    """
    if len(rows) <= num_lines:
        return list(rows)
    ranks = {state: rank for rank, states in enumerate(_URGENCY) for state in states}

    def urgency(place: int) -> tuple[int, int]:
        state = rows[place].state
        return ranks.get(state, len(_URGENCY)), -place if state in _FINISHED else place

    kept = sorted(range(len(rows)), key=urgency)[: max(1, num_lines - 1)]
    return [rows[place] for place in sorted(kept)]


def counts_text(rows: Sequence[Row]) -> str:
    """The number of rows in each state, such as ``12 waiting, 5 up to date``."""
    counts = Counter(_words(row.state) for row in rows)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def run_text(view: View) -> str:
    """The time that the whole run has taken and still takes. A duration that no earlier run has is unknown."""
    if not view.rows:
        return f"finding out which stages have to run, {duration_text(view.elapsed_s)} elapsed"
    if not view.unknown:
        left = f"about {duration_text(view.left_s)}"
    elif view.left_s >= 1:
        kinds = ", ".join(dict.fromkeys(stage.split("@")[0] for stage in view.unknown))
        left = f"at least {duration_text(view.left_s)} (no estimate yet for {kinds})"
    else:
        left = "unknown"
    return f"whole run: {duration_text(view.elapsed_s)} elapsed, time left: {left}"


def _table(rows: Sequence[Row], width: int, name_width: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="")
    table.add_column("stage", no_wrap=True, min_width=min(name_width, width // 3))
    table.add_column("state", no_wrap=True, min_width=_STATE_WIDTH)
    table.add_column("progress or result", no_wrap=True, ratio=1)
    table.add_column("elapsed", no_wrap=True, justify="right", min_width=_TIME_WIDTH)
    table.add_column("left", no_wrap=True, justify="right", min_width=_TIME_WIDTH)
    bar_width = 16 if width >= _WIDE else 6
    for row in rows:
        cells = [row.stage, _words(row.state), _middle(row, bar_width), _time(row.elapsed_s), _time(row.left_s)]
        table.add_row(*map(_one_line, cells), style=_STYLES.get(row.state, ""))
    return table


def _middle(row: Row, bar_width: int) -> str:
    """The bar, the count and the value to watch of a running stage; the result of any other."""
    if row.progress is None:
        return row.result
    done, total = row.progress.done, row.progress.total
    figure = f", {row.progress.figure}" if row.progress.figure else ""
    if total is None:
        return f"{done}{figure}"
    fraction = min(1.0, done / total) if total > 0 else 1.0
    count = f"{done}/{total}" if total < _MOST_COUNTED else f"{fraction:.0%}"
    return f"{_bar(fraction, bar_width)} {count}{figure}"


def _bar(fraction: float, width: int) -> str:
    num_full = int(fraction * width)
    return "█" * num_full + "░" * (width - num_full)


def _words(state: RowState) -> str:
    return state.replace("_", " ")


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration_text(seconds)


def _one_line(text: str, style: str = "") -> Text:
    return Text(" ".join(text.split()), style=style, no_wrap=True, overflow="ellipsis")
