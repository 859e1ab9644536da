"""Readers of artifacts. Errors for missing or damaged artifacts name the file and the remedy."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError, UserError

REMAKE = "`dvc repro` creates it"


def read_json(path: Path, remedy: str = REMAKE) -> Any:
    """The parsed content of a JSON file. Raises UserError if the file is missing or is not valid JSON."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:  # invalid JSON or invalid UTF-8
        raise UserError(f"{path} is damaged ({error}); remove it, {remedy}") from None


def read_curve_rows(path: Path, remedy: str = REMAKE) -> list[dict[str, float]]:
    """The rows of a training run's ``curve.csv``: ``step`` and the scalars at this step, without empty cells.

    Raises UserError if the file is missing, DataError if it is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        with path.open(newline="") as file:
            rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]
        if not all("step" in row for row in rows):
            raise ValueError("a row has no step")
    except (AttributeError, TypeError, ValueError, csv.Error) as error:  # a line that is too long, or no number
        raise DataError(f"{path} is damaged ({error!r}); remove it, {remedy}") from None
    return rows


def read_rows(path: Path, columns: Collection[str], remedy: str = REMAKE) -> list[dict[str, Any]]:
    """The rows of a parquet table, which must have ``columns`` and may have others.

    Raises UserError if the file is missing, DataError if it is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # an error of the disk, not of the file's content
            raise
        raise DataError(f"{path} is damaged ({error}); {remedy}") from None
    if absent := [name for name in columns if name not in table.column_names]:
        raise DataError(f"{path} has no column {', '.join(absent)}: another version wrote it; {remedy}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
