"""Time measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """The function's result, and its duration in seconds."""
    started = time.monotonic()
    result = function()
    return result, time.monotonic() - started
