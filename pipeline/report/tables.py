"""Tables as text: Markdown for reports, aligned columns for terminals."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest


@dataclass(frozen=True)
class Table:
    """A table for any medium. The first ``num_text`` columns hold text, aligned left; the others numbers, right."""

    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    num_text: int = 1

    def markdown(self) -> str:
        """One line a row; a cell's line breaks become spaces."""
        rule = ["---"] * self.num_text + ["---:"] * (len(self.header) - self.num_text)
        lines = [self.header, rule, *self.cells]
        return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)

    def plain(self) -> str:
        """Columns as wide as their widest line, two spaces apart; a cell of several lines takes several lines.

        A header of empty strings is left out.
        """
        rows = [self.header, *self.cells] if any(self.header) else list(self.cells)
        lines = [line for row in rows for line in zip_longest(*(cell.split("\n") for cell in row), fillvalue="")]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(self._aligned, range(len(line)), line, widths)).rstrip() for line in lines)

    def _aligned(self, place: int, text: str, width: int) -> str:
        return text.ljust(width) if place < self.num_text else text.rjust(width)


def number_text(value: float | None, form: str) -> str:
    """A number in the format ``form``; a dash for None."""
    return "-" if value is None else f"{value:{form}}"


def bullets(lines: Sequence[str]) -> str:
    """One Markdown item a line."""
    return "\n".join(f"- {line}" for line in lines)


def code_list(names: Iterable[str]) -> str:
    """The names as Markdown code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def wrap_bullets(text: str, width: int) -> str:
    """The text with items of lists broken at blanks into lines of ``width`` characters. Tables stay as they are."""
    lines = (
        textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        if line.startswith("- ")
        else line
        for line in text.split("\n")
    )
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
