"""Parts of a video that are dubbed, each with its own voice and face. The module imports no heavy package."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.dubbing.who import parse_who

_COLUMNS = ("start", "end", "audio", "who")


@dataclass(frozen=True, kw_only=True)
class DubSegment:
    """The video from ``start_s`` to ``end_s`` gets the speech ``audio``, which begins at ``start_s``.

    ``end_s``: None ends the segment with the speech. ``who``: as in ``DubSettings``; None takes the dub's.
    """

    audio: str | Path
    start_s: float = 0.0
    end_s: float | None = None
    who: str | int | None = None


def parse_time(text: str) -> float:
    """Seconds of ``62.5``, ``1:02.5`` or ``0:01:02.5``. Raises UserError for anything else."""
    parts = text.strip().split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 3 or not all(math.isfinite(value) and value >= 0 for value in values):
        raise UserError(f"the time {text!r} is not understood; allowed: seconds such as 62.5, or 1:02.5, or 0:01:02.5")
    return sum(value * 60**power for power, value in enumerate(reversed(values)))


def read_segments(path: Path) -> list[DubSegment]:
    """The segments of a CSV file with the columns ``start``, ``end``, ``audio`` and, if wanted, ``who``.

    An empty ``end`` ends the segment with its speech. A relative ``audio`` is in the folder of the list. Raises
    UserError for a file that is not such a list.
    """
    if not path.is_file():
        raise UserError(f"--segments {path}: no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in _COLUMNS[:3] if name not in (rows.fieldnames or ())]
            if missing:
                raise UserError(
                    f"--segments {path}: the first line lacks {', '.join(missing)}; its columns are start, end, audio "
                    "and, if wanted, who"
                )
            segments = [_parsed(path, rows.line_num, row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--segments {path}: this is no CSV file in UTF-8: {error}") from None
    if not segments:
        raise UserError(f"--segments {path}: the list has no segment")
    return segments


def _parsed(path: Path, line: int, row: Mapping[str, str | None]) -> DubSegment:
    start, end, audio, who = ((row.get(name) or "").strip() for name in _COLUMNS)
    try:
        if not audio:
            raise UserError("the column audio is empty")
        parse_who(who or "largest")
        return DubSegment(
            audio=path.parent / audio,
            start_s=parse_time(start or "0"),
            end_s=parse_time(end) if end else None,
            who=who or None,
        )
    except UserError as error:
        raise UserError(f"--segments {path}, line {line}: {error}") from None


def require_order(segments: list[tuple[float, float]]) -> None:
    """Raises UserError unless each (start, end), in seconds, ends after its start and not after the next start."""
    for start_s, end_s in segments:
        if end_s <= start_s:
            raise UserError(f"the segment from {start_s:g} s to {end_s:g} s ends before it starts")
    for (_, end_s), (start_s, _) in itertools.pairwise(segments):
        if start_s < end_s:
            raise UserError(
                f"a segment starts at {start_s:g} s, before the end of the previous one at {end_s:g} s; segments must "
                "be in order and must not overlap"
            )
