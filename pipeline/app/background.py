"""Runs a request in a thread and yields its progress, until it ends or the page is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from pipeline.app.score_text import progress_text
from pipeline.core.errors import TemporaryError
from pipeline.dubbing import PhaseProgress
from pipeline.dubbing.phases import OnProgress

T = TypeVar("T")
U = TypeVar("U")
UPDATE_EVERY_S = 0.3


def run_with_progress(work: Callable[[OnProgress], T], shape: Callable[[str], U]) -> Generator[U, None, T]:
    """Yield ``shape(text)`` for each new text of the progress, and return the result of ``work``.

    If the generator is closed, the work stops when it next reports progress. Raises what ``work`` raises.
    """
    latest: list[PhaseProgress] = []
    is_closed = threading.Event()

    def report(progress: PhaseProgress) -> None:
        if is_closed.is_set():
            raise TemporaryError("the page was closed; ask again")
        latest[:] = [progress]

    with ThreadPoolExecutor(1, "request") as pool:
        future = pool.submit(work, report)
        shown = ""
        try:
            while not future.done():
                wait([future], UPDATE_EVERY_S)
                text = progress_text(latest[0]) if latest else ""
                if text != shown:
                    shown = text
                    yield shape(text)
        finally:
            is_closed.set()
    return future.result()
