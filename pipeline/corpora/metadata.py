"""The user's metadata of videos in a folder: a CSV or JSON file of speakers, splits and transcripts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.core.errors import UserError
from pipeline.corpora.manifest import SPLITS

METADATA_COLUMNS = ("path", "speaker", "split", "transcript")


@dataclass(frozen=True)
class VideoNote:
    """The metadata of one video; None stands for a value that the file does not give."""

    speaker: str | None = None
    split: str | None = None
    transcript: str | None = None


def parse_metadata(content: bytes, name: str) -> dict[str, VideoNote]:
    """Parse the ``content`` of the metadata file ``name``. Keys are paths relative to the folder, with ``/``.

    A CSV file has a header line. A JSON file is a list of objects. Both have ``path`` and any of ``speaker``, ``split``
    (train, val, test) and ``transcript``. Raises UserError with the file, the row and the allowed values.
    """
    try:
        text = content.decode("utf-8-sig")
        rows = _json_rows(text, name) if name.lower().endswith(".json") else _csv_rows(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text: {error}; re-save it as UTF-8") from None
    except (json.JSONDecodeError, csv.Error) as error:
        raise UserError(f"{name} cannot be read: {error}") from None
    notes: dict[str, VideoNote] = {}
    for number, row in rows:
        where = f"{name}, row {number}"
        if unknown := sorted(set(row) - set(METADATA_COLUMNS)):
            raise UserError(f"{where}: unknown column {', '.join(unknown)}; allowed are {', '.join(METADATA_COLUMNS)}")
        values = {name: str(value).strip() for name, value in row.items() if value is not None and str(value).strip()}
        if "path" not in values:
            raise UserError(f"{where}: has no path")
        video = PurePosixPath(values.pop("path").replace("\\", "/")).as_posix()
        if video in notes:
            raise UserError(f"{where}: {video} is listed twice; remove one of the rows")
        if values.get("split", SPLITS[0]) not in SPLITS:
            raise UserError(f"{where}: split {values['split']!r} must be one of {', '.join(SPLITS)}")
        notes[video] = VideoNote(**values)
    return notes


def _csv_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    cells = io.StringIO(text, newline="")
    reader = csv.DictReader(cells, restkey="(more cells than columns)", skipinitialspace=True, strict=True)
    return [(reader.line_num, row) for row in reader]


def _json_rows(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    content = json.loads(text)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError(f'{name} must be a list of objects such as {{"path": "a.mp4", "speaker": "anna"}}')
    return list(enumerate(content, start=1))
