"""Parts of a video that are dubbed, each with its own voice and face. The module imports no heavy package."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.csv_table import TableRow, read_table
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
    who: str | int | Sequence[int] | None = None


def parse_time(time: str | float) -> float:
    """Seconds of ``62.5``, ``1:02.5`` or ``0:01:02.5``. Raises UserError for anything else."""
    parts = str(time).strip().split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 3 or not all(math.isfinite(value) and value >= 0 for value in values):
        raise UserError(f"the time {time!r} is not understood; allowed: seconds such as 62.5, or 1:02.5, or 0:01:02.5")
    return sum(value * 60**power for power, value in enumerate(reversed(values)))


def read_segments(path: Path, option: str = "--segments") -> list[DubSegment]:
    """The segments of a CSV file with the columns ``start``, ``end``, ``audio`` and, if wanted, ``who``.

    An empty ``end`` ends the segment with its speech. A relative ``audio`` is in the folder of the list. ``option``
    named the file. Raises UserError for a file that is not such a list.
    """
    named = f"{option} {path}"
    segments = [_parsed(path.parent, named, row) for row in read_table(path, named, _COLUMNS[:3], _COLUMNS)]
    if not segments:
        raise UserError(f"{named}: the list has no segment")
    return segments


def _parsed(folder: Path, named: str, row: TableRow) -> DubSegment:
    start, end, audio, who = (row.fields.get(name, "") for name in _COLUMNS)
    try:
        if row.fault:
            raise UserError(row.fault)
        if not audio:
            raise UserError("the column audio is empty")
        parse_who(who or "largest")
        return DubSegment(
            audio=folder / audio,
            start_s=parse_time(start or "0"),
            end_s=parse_time(end) if end else None,
            who=who or None,
        )
    except UserError as error:
        raise UserError(f"{named}, line {row.line}: {error}") from None


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
