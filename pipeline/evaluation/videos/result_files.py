"""The files of `score --out`: a JSON file, and beside it a CSV file of the same name with the metrics of each clip."""

from __future__ import annotations

from pathlib import Path

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.evaluation.clip_rows import CLIP_CSV_COLUMNS

_FIRST_COLUMNS = ",".join(CLIP_CSV_COLUMNS[:2]).encode() + b","
"""How the clips' CSV begins. Its other columns differ between releases."""


def clips_csv_path(out: Path) -> Path:
    """The CSV file that belongs to the JSON file ``out``."""
    return out.with_suffix(".csv")


def require_json(out: Path) -> None:
    """Raises UserError unless ``out`` is a JSON file that can be written. Creates its folder."""
    if out.suffix != ".json" or out.is_dir():
        raise UserError(f"--out {out} must be a file whose name ends in .json")
    atomic.require_writable(out, "--out")


def require_result_files(out: Path, against: Path | None) -> None:
    """Raises UserError unless ``out`` and its CSV can be written and replace no other file than earlier results.

    ``against``: the earlier result to compare with, which must stay.
    """
    require_json(out)
    if against is not None:
        atomic.require_not_input(out, "--out", [("--against", against)])
    table = clips_csv_path(out)
    atomic.require_writable(table, f"the CSV file of --out {out}:")
    if table.exists() and not _is_clips_csv(table):
        raise UserError(
            f"--out {out} also writes {table}, which exists and is not from `score`; choose another name for --out"
        )


def _is_clips_csv(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_FIRST_COLUMNS)) == _FIRST_COLUMNS
