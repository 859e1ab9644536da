"""Markdown for reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table for any medium: the first ``num_text`` columns hold text, the others numbers."""

    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    num_text: int = 1

    def markdown(self) -> str:
        return table(self.header, self.cells, self.num_text)


def table(header: Sequence[str], cells: Sequence[Sequence[str]], num_text: int = 1) -> str:
    """The first ``num_text`` columns are aligned left, the others right; cells stay on one line."""
    rule = ["---"] * num_text + ["---:"] * (len(header) - num_text)
    lines = [header, rule, *cells]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def bullets(lines: Sequence[str]) -> str:
    """One item per line."""
    return "\n".join(f"- {line}" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
