"""How long something takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """What the function returns, and the seconds it took."""
    started = time.monotonic()
    result = function()
    return result, time.monotonic() - started
