"""Reads tables that users write: CSV files in UTF-8 whose first line names the columns."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError

_REST = "fields without a column"


@dataclass(frozen=True)
class TableRow:
    """A row: its line in the file, and its text by column, without spaces around it.

    ``fault``: why its fields do not belong to their columns, as a sentence; None if they do.
    """

    line: int
    fields: Mapping[str, str]
    fault: str | None = None


def read_table(path: Path, named: str, required: Sequence[str], allowed: Sequence[str]) -> list[TableRow]:
    """The rows of the file. Absent fields at the end of a line are empty, and empty lines are left out.

    ``named``: the file as messages name it, such as ``--segments lines.csv``. Raises UserError for a file that is no
    such table, lacks a ``required`` column, repeats one, or has one that is not ``allowed``.
    """
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{named}: {fault}; give a CSV file with the columns {', '.join(required)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restkey=_REST, restval="", skipinitialspace=True)
            _require_columns(list(rows.fieldnames or ()), named, required, allowed)
            return [_row(rows.line_num, row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{named}: this is no CSV file in UTF-8: {error}") from None


def _require_columns(found: Sequence[str], named: str, required: Sequence[str], allowed: Sequence[str]) -> None:
    problems = (
        ("lacks", [name for name in required if name not in found]),
        ("has the unknown columns", [repr(name) for name in found if name not in allowed]),
        ("repeats", sorted({name for name in found if found.count(name) > 1})),
    )
    for what, names in problems:
        if names:
            raise UserError(f"{named}: the first line {what} {', '.join(names)}; allowed columns: {', '.join(allowed)}")


def _row(line: int, row: Mapping[str, str | list[str]]) -> TableRow:
    fields = {name: text.strip() for name, text in row.items() if isinstance(text, str)}
    if _REST not in row:
        return TableRow(line, fields)
    fault = f"the line has {len(row[_REST])} more fields than the first line; quote fields with commas"
    return TableRow(line, fields, fault)
