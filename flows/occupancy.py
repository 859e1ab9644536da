"""The lock that admits one flow at a time to a checkout. DVC locks files, so parallel flows would fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.guard import start_guard
from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.locks import LockHeldError, locked_or_refused


class CheckoutBusyError(TemporaryError):
    """Another flow is running in the checkout."""


@contextmanager
def occupying(root: Path, flow: str) -> Iterator[None]:
    """Lock the checkout for a flow, and start the flow's guard. A subflow in the same process may enter.

    The lock ends with the process, and the guard then ends the processes that the flow left behind.

    Raises CheckoutBusyError that names the flow which holds the lock.
    """
    try:
        with locked_or_refused(Layout(root).scratch_dir / "flow.lock", flow):
            start_guard()
            yield
    except LockHeldError as error:
        holder = error.holder or "another flow"
        raise CheckoutBusyError(f"{holder} is running in {root}; start {flow} again when it has finished") from None
