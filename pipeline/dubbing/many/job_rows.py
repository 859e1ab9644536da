"""The rows of a list of dubs: JSON Lines, one row for each finished job. The module imports no heavy package."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.core import atomic


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """What became of a job. Without ``ok`` only the first block and ``seconds`` have values."""

    line: int
    """Line of the list. ``face``, ``audio`` and ``out`` are as written there."""
    face: str
    audio: str
    out: str
    ok: bool
    reason: str | None = None
    """Why the job failed."""

    seconds: float = 0.0
    """Wall-clock time of the job, with the score."""
    num_frames: int | None = None
    num_dubbed: int | None = None
    """Frames with a generated mouth."""
    num_missing: int | None = None
    """Frames that should have a new mouth but do not show the face."""
    faces: Sequence[dict[str, Any]] | None = None
    """The fields of each `DubbedFace`."""
    notes: Sequence[str] | None = None

    judge: str | None = None
    """The evaluator of the score. None, as all scores, if there is no score."""
    lse_c: float | None = None
    lse_d: float | None = None
    offset_frames: int | None = None
    """At 25 fps, positive if the audio leads the video; None also if it is not found (``DubScore.found_offset``)."""
    no_score: str | None = None
    """Why a dubbed video has no score. None also if no score was asked for."""

    key: str | None = None
    """Digest of all that the output depends on: the job, its files and the model."""
    out_bytes: int | None = None

    @property
    def has_score_or_reason(self) -> bool:
        return self.judge is not None or self.no_score is not None


class JobRows:
    """The file with the rows. A run appends to it; a killed run loses at most the row that it was writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[JobRow]:
        """The rows of earlier runs. A line that is no whole row is left out; its job is then done again."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        return [row for line in lines if (row := _row_of(line)) is not None]

    def replace(self, rows: Iterable[JobRow]) -> None:
        """Write these rows, in the order of the list, in place of all others."""
        ordered = sorted(rows, key=lambda row: row.line)
        atomic.write_text(self.path, "".join(_text_of(row) for row in ordered))

    def append(self, row: JobRow) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text_of(row))
            file.flush()
            os.fsync(file.fileno())


def _text_of(row: JobRow) -> str:
    return json.dumps(asdict(row), allow_nan=False) + "\n"


def _row_of(line: str) -> JobRow | None:
    names = {field.name for field in dataclasses.fields(JobRow)}
    try:
        content = json.loads(line)
        return JobRow(**{name: value for name, value in content.items() if name in names})
    except (ValueError, TypeError, AttributeError):
        return None
