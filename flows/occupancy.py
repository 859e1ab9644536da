"""One flow at a time in a checkout: DVC locks files, so two flows would stop each other between stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.locks import LockHeldError, locked_at_once


class CheckoutBusyError(TemporaryError):
    """Another flow is at work in the checkout."""


@contextmanager
def occupying(root: Path, flow: str) -> Iterator[None]:
    """Hold the checkout for a flow; a flow within that flow is let through. The lock ends with the process.

    Raises CheckoutBusyError naming the flow that holds it.
    """
    try:
        with locked_at_once(Layout(root).scratch_dir / "flow.lock", flow):
            yield
    except LockHeldError as error:
        holder = error.holder or "another flow"
        raise CheckoutBusyError(f"{holder} is at work in {root}; start {flow} again when it is done") from None
