"""The lock that admits one flow at a time to a checkout. DVC locks files, so parallel flows would fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.locks import LockHeldError, locked_at_once


class CheckoutBusyError(TemporaryError):
    """Another flow is running in the checkout."""


@contextmanager
def occupying(root: Path, flow: str) -> Iterator[None]:
    """Lock the checkout for a flow. A subflow in the same process may enter. The lock ends with the process.

    Raises CheckoutBusyError that names the flow which holds the lock.
    """
    try:
        with locked_at_once(Layout(root).scratch_dir / "flow.lock", flow):
            yield
    except LockHeldError as error:
        holder = error.holder or "another flow"
        raise CheckoutBusyError(f"{holder} is running in {root}; start {flow} again when it has finished") from None
