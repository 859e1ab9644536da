"""The lock that admits one flow at a time to a checkout. DVC locks files, so parallel flows would fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.guard import start_guard
from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.locks import LockHeldError, locked_or_refused


class CheckoutBusyError(TemporaryError):
    """Another flow is running in the checkout."""


@contextmanager
def occupying(root: Path, flow: str, on_wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Lock the checkout for a flow, and start the flow's guard. A subflow in the same process may enter.

    The lock ends with the process, and the guard then ends the processes that the flow left behind.

    If another flow holds the lock, ``on_wait`` is called with a sentence that names it, and this call waits for its
    end. Without ``on_wait``, raises CheckoutBusyError with such a sentence.
    """
    path = Layout(root).scratch_dir / "flow.lock"
    with ExitStack() as held:
        try:
            held.enter_context(locked_or_refused(path, flow))
        except LockHeldError as error:
            holder = error.holder or "another flow"
            if on_wait is None:
                raise CheckoutBusyError(
                    f"{holder} is running in {root}; start {flow} again when it has finished"
                ) from None
            on_wait(f"{holder} is running in {root}; waiting for its end")
            held.enter_context(locked_or_refused(path, flow, math.inf))
        start_guard()
        yield
