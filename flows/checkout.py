"""The checkout in which a flow run works.

It is no parameter of the flows: who starts a run on a server's page chooses stages, not folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from pipeline.core.layout import find_root

CHECKOUT_VARIABLE = "LIPSMITH_CHECKOUT"
"""Variable that `flows.serve` sets for the flow runs that it starts."""

_checkout: ContextVar[Path | None] = ContextVar("_checkout", default=None)


@contextmanager
def working_in(checkout: Path) -> Iterator[None]:
    """Let the flows of this context work in a checkout."""
    token = _checkout.set(checkout)
    try:
        yield
    finally:
        _checkout.reset(token)


def current_checkout() -> Path:
    """The checkout of `working_in`, of ``LIPSMITH_CHECKOUT``, or the one that contains the working directory.

    Raises UserError if there is no checkout.
    """
    named = _checkout.get() or os.environ.get(CHECKOUT_VARIABLE)
    return find_root(Path(named) if named else None)
