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
    """How far a phase is. ``num_total`` is None where it is not known; ``left_s`` is the estimated time left, s."""

    phase: str
    num_done: int
    num_total: int | None
    left_s: float | None


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
