"""Measures of kept clips, their percentiles, and the clips with the worst values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.shards.index import IndexRow

_SILENCE_DB = -100.0


class Worst(NamedTuple):
    """The end of a measure's range that has the worst clips. With ``beyond``, only values past it count."""

    end: Literal["low", "high"]
    title: str
    beyond: float | None = None


@dataclass(frozen=True)
class Measure:
    """One number per clip. ``of`` returns None if the index row lacks it: an old index, or a stage that did not run."""

    name: str
    title: str
    unit: str
    decimals: int
    of: Callable[[IndexRow], float | None]
    worst: Worst | None = None

    def text(self, value: float) -> str:
        """The value as text, with its unit."""
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


# fmt: off
CLIP_MEASURES = (
    Measure("face_px", "face size", "px", 0, _stat("face_px"), Worst("low", "smallest face")),
    Measure("face_score", "face score", "", 2, _stat("face_score")),
    Measure("face_missing", "frames without the face", "%", 1, _stat("face_missing", 100),
            Worst("high", "face missing most", beyond=0)),
    Measure("face_motion", "face motion", "faces/s", 3, _stat("face_motion"), Worst("high", "most motion")),
    Measure("brightness", "brightness", "of 255", 0, _stat("brightness"), Worst("low", "darkest")),
    Measure("audio_db", "audio level", "dBFS", 1, _level_db, Worst("low", "quietest")),
    Measure("audio_clipped", "clipped samples", "%", 2, _stat("audio_clipped", 100)),
    Measure("length_s", "length", "s", 2, lambda row: row.num_frames / row.fps),
    Measure("source_fps", "source's frame rate", "fps", 2, _stat("source_fps")),
    Measure("sync_offset_frames", "sync offset", "frames", 1, _stat("sync_offset_frames")),
    Measure("sync_confidence", "sync confidence", "", 2, _stat("sync_confidence"),
            Worst("low", "least confident sync")),
)
# fmt: on
BY_NAME = {measure.name: measure for measure in CLIP_MEASURES}
SYNC_NAMES = ("sync_offset_frames", "sync_confidence")


def values_of(rows: Sequence[IndexRow], measure: Measure) -> NDArray[np.float64]:
    """The values of the clips that have one: float64 [n]."""
    return np.array([value for row in rows if (value := measure.of(row)) is not None], np.float64)


def measured(rows: Sequence[IndexRow]) -> list[Measure]:
    """The measures that at least one clip has."""
    return [measure for measure in CLIP_MEASURES if any(measure.of(row) is not None for row in rows)]


def measure_spread(rows: Sequence[IndexRow], measure: Measure) -> Spread | None:
    """The percentiles of a measure; None if no clip has a value."""
    values = values_of(rows, measure)
    if not len(values):
        return None
    low, median, high = (float(value) for value in np.percentile(values, (5, 50, 95)))
    return Spread(len(values), low, median, high)


def worst_clips(rows: Sequence[IndexRow], measure: Measure, num: int) -> list[tuple[IndexRow, float]]:
    """At most ``num`` clips with the worst values, worst first, ties by clip id; empty without a bad end."""
    if measure.worst is None:
        return []
    sign, beyond = -1 if measure.worst.end == "high" else 1, measure.worst.beyond
    known = [(row, value) for row in rows if (value := measure.of(row)) is not None]
    if beyond is not None:
        known = [(row, value) for row, value in known if sign * value < sign * beyond]
    return sorted(known, key=lambda pair: (sign * pair[1], pair[0].clip_id))[:num]
