"""One flow at a time in a checkout: DVC locks files, so two flows would stop each other between stages."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pipeline.core.layout import Layout

_held: set[Path] = set()


class CheckoutBusyError(RuntimeError):
    """Another flow is at work in the checkout."""


@contextmanager
def occupying(root: Path, flow: str) -> Iterator[None]:
    """Hold the checkout for a flow; a flow within that flow is let through. The lock ends with the process.

    Raises CheckoutBusyError naming the flow that holds it.
    """
    path = Layout(root).scratch_dir / "flow.lock"
    if path in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another flow"
            raise CheckoutBusyError(f"{holder} is at work in {root}; start {flow} again when it is done") from None
        lock.truncate(0)
        lock.write(f"{flow} (process {os.getpid()}, since {datetime.now():%Y-%m-%d %H:%M})")
        lock.flush()
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            lock.truncate(0)
