"""What is known of every kept clip, and where half of the clips and most of them lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.shards.write import IndexRow

Worst = Literal["low", "high"]
_SILENCE_DB = -100.0


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a clip, None where its index row does not have it (an older index, a stage that did not run).

    ``worst`` says at which end the clips lie that are worth a look, under the title ``worst_title``; of their values
    only those beyond ``worst_from`` are.
    """

    name: str
    title: str
    unit: str
    decimals: int
    of: Callable[[IndexRow], float | None]
    worst: Worst | None = None
    worst_title: str = ""
    worst_from: float | None = None

    def text(self, value: float) -> str:
        """The value with its unit."""
        gap = "" if self.unit in ("", "%") else " "
        return f"{value:.{self.decimals}f}{gap}{self.unit}"


class Spread(NamedTuple):
    """5th percentile, median and 95th percentile of ``num`` clips."""

    num: int
    low: float
    median: float
    high: float


def _stat(name: str, scale: float = 1.0) -> Callable[[IndexRow], float | None]:
    def of(row: IndexRow) -> float | None:
        value = row.stats.get(name)
        return None if value is None or not math.isfinite(value) else scale * value

    return of


def _level_db(row: IndexRow) -> float | None:
    rms = _stat("audio_rms")(row)
    return None if rms is None else max(_SILENCE_DB, 20 * math.log10(max(rms, 1e-12)))


MEASURES = (
    Measure(
        name="face_px",
        title="face size",
        unit="px",
        decimals=0,
        of=_stat("face_px"),
        worst="low",
        worst_title="smallest face",
    ),
    Measure(name="face_score", title="face score", unit="", decimals=2, of=_stat("face_score")),
    Measure(
        name="face_missing",
        title="frames without the face",
        unit="%",
        decimals=1,
        of=_stat("face_missing", 100),
        worst="high",
        worst_title="face missing most",
        worst_from=0,
    ),
    Measure(
        name="face_motion",
        title="face motion",
        unit="faces/s",
        decimals=3,
        of=_stat("face_motion"),
        worst="high",
        worst_title="most motion",
    ),
    Measure(
        name="brightness",
        title="brightness",
        unit="of 255",
        decimals=0,
        of=_stat("brightness"),
        worst="low",
        worst_title="darkest",
    ),
    Measure(
        name="audio_db",
        title="audio level",
        unit="dBFS",
        decimals=1,
        of=_level_db,
        worst="low",
        worst_title="quietest",
    ),
    Measure(name="audio_clipped", title="clipped samples", unit="%", decimals=2, of=_stat("audio_clipped", 100)),
    Measure(name="length_s", title="length", unit="s", decimals=2, of=lambda row: row.num_frames / row.fps),
    Measure(name="source_fps", title="source's frame rate", unit="fps", decimals=2, of=_stat("source_fps")),
    Measure(
        name="sync_offset_frames",
        title="sync offset",
        unit="frames",
        decimals=1,
        of=_stat("sync_offset_frames"),
    ),
    Measure(
        name="sync_confidence",
        title="sync confidence",
        unit="",
        decimals=2,
        of=_stat("sync_confidence"),
        worst="low",
        worst_title="least confident sync",
    ),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
SYNC_NAMES = ("sync_offset_frames", "sync_confidence")


def values_of(rows: Sequence[IndexRow], measure: Measure) -> NDArray[np.float64]:
    """The values of the clips that have one: float64 [n]."""
    return np.array([value for row in rows if (value := measure.of(row)) is not None], np.float64)


def measured(rows: Sequence[IndexRow]) -> list[Measure]:
    """The measures that any of the clips has."""
    return [measure for measure in MEASURES if any(measure.of(row) is not None for row in rows)]


def spread_of(rows: Sequence[IndexRow], measure: Measure) -> Spread | None:
    """None where no clip has a value."""
    values = values_of(rows, measure)
    if not len(values):
        return None
    low, median, high = (float(value) for value in np.percentile(values, (5, 50, 95)))
    return Spread(len(values), low, median, high)


def worst_clips(rows: Sequence[IndexRow], measure: Measure, num: int) -> list[tuple[IndexRow, float]]:
    """At most ``num`` clips from the measure's bad end, worst first, equal ones by clip id."""
    sign = -1 if measure.worst == "high" else 1
    known = [(row, value) for row in rows if (value := measure.of(row)) is not None]
    if measure.worst_from is not None:
        known = [(row, value) for row, value in known if sign * value < sign * measure.worst_from]
    return sorted(known, key=lambda pair: (sign * pair[1], pair[0].clip_id))[:num]
