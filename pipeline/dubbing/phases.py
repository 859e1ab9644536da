"""Progress of a dub: its phases, for the terminal and for a caller. The module imports no heavy package."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pipeline.report.progress import tracked

T = TypeVar("T")


@dataclass(frozen=True)
class PhaseProgress:
    """How far a phase of a dub is."""

    phase: str
    """``detecting faces``, which may run several times, or ``generating frames``."""
    num_done: int
    """Frames that are done."""
    num_total: int | None
    """Frames of the phase; None if the number is not known, as of a file whose header does not state it."""
    left_s: float | None
    """Estimated time until the end of the phase, s; None without ``num_total``."""


OnProgress = Callable[[PhaseProgress], object]


def in_phase(frames: Iterable[T], phase: str, total: int | None, on_progress: OnProgress | None = None) -> Iterator[T]:
    """The frames, each reported once the next is asked for."""
    started = time.monotonic()
    for number, frame in enumerate(tracked(frames, phase, total, "frames"), 1):
        yield frame
        if on_progress is not None:
            known = None if total is None or number > total else total
            pace_s = (time.monotonic() - started) / number
            on_progress(PhaseProgress(phase, number, known, None if known is None else pace_s * (known - number)))
