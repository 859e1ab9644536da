"""What a user says about the videos of a folder: a CSV or JSON file with their speakers, splits and words."""

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
    """What is said about one video; None where nothing is."""

    speaker: str | None = None
    split: str | None = None
    transcript: str | None = None


def parse_metadata(content: bytes, name: str) -> dict[str, VideoNote]:
    """Notes by the video's path below the folder, with ``/``, from the content of the file called ``name``.

    A CSV has a header line, a JSON file is a list of objects; both name ``path`` and any of ``speaker``, ``split``
    (train, val, test) and ``transcript``. Raises UserError that names the file, the row and what is allowed.
    """
    try:
        text = content.decode("utf-8-sig")
        rows = _json_rows(text, name) if name.lower().endswith(".json") else _csv_rows(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not text in UTF-8: {error}; save it so") from None
    except (json.JSONDecodeError, csv.Error) as error:
        raise UserError(f"{name} cannot be read: {error}") from None
    notes: dict[str, VideoNote] = {}
    for number, row in rows:
        where = f"{name}, row {number}"
        if unknown := sorted(set(row) - set(METADATA_COLUMNS)):
            raise UserError(f"{where}: unknown column {', '.join(unknown)}; there are {', '.join(METADATA_COLUMNS)}")
        values = {name: str(value).strip() for name, value in row.items() if value is not None and str(value).strip()}
        if "path" not in values:
            raise UserError(f"{where}: has no path")
        video = PurePosixPath(values.pop("path").replace("\\", "/")).as_posix()
        if video in notes:
            raise UserError(f"{where}: {video} is there twice")
        if values.get("split", SPLITS[0]) not in SPLITS:
            raise UserError(f"{where}: split {values['split']!r} is none of {', '.join(SPLITS)}")
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
