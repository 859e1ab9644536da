"""Reading what a stage wrote: an artifact that is missing or damaged is an error that names the file and the remedy."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError, UserError

REMAKE = "`dvc repro` makes it"


def read_json(path: Path, remedy: str = REMAKE) -> Any:
    """The parsed content of a JSON file. Raises UserError where it is missing or no JSON."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:  # no JSON, or no text
        raise UserError(f"{path} is damaged ({error}); remove it, {remedy}") from None


def read_rows(path: Path, columns: Collection[str], remedy: str = REMAKE) -> list[dict[str, Any]]:
    """The rows of a parquet table that has ``columns`` and perhaps others.

    Raises UserError where it is missing, DataError where it is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"{path} does not exist; {remedy}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the file
            raise
        raise DataError(f"{path} is damaged ({error}); {remedy}") from None
    if absent := [name for name in columns if name not in table.column_names]:
        raise DataError(f"{path} has no column {', '.join(absent)}: another version wrote it; {remedy}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
