"""Prepares batches in a background thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Runs an iterator in a thread, up to ``depth`` items ahead, so that decoding overlaps with computation.

    Read state that belongs to an item, such as the stream's position, inside the iterator:
    ``yield batch, stream.state_dict()``. ``next`` raises an exception of the iterator after all items before it. Close
    the object, or use it as a context manager. Raises ValueError if ``depth`` is less than 1.
    """

    def __init__(self, source: Iterator[T], depth: int = 2) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self._source, self._depth = source, depth
        self._ready: deque[T] = deque()
        self._changed = threading.Condition()
        self._is_closed = self._is_exhausted = False
        self._error: BaseException | None = None
        self._wait_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self._thread.start()

    @property
    def wait_seconds(self) -> float:
        """Total time that ``next`` has waited for items, s."""
        return self._wait_seconds

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        started = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._is_exhausted or self._is_closed)
            self._wait_seconds += time.perf_counter() - started
            if self._is_closed:
                raise ValueError("this Prefetcher is closed")
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread after its current item, and discard prepared items."""
        with self._changed:
            self._is_closed = True
            self._ready.clear()
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            for item in self._source:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._ready) < self._depth or self._is_closed)
                    if self._is_closed:
                        return
                    self._ready.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # raised again by __next__
            self._error = error
        finally:
            with self._changed:
                self._is_exhausted = True
                self._changed.notify_all()
            close = getattr(self._source, "close", None)  # closing a generator releases its files
            if close is not None:
                close()
