"""A seeded order that is the same on every machine and with every version of every library."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def seeded_order(items: Iterable[T], seed: int, name_of: Callable[[T], str] = str) -> list[T]:
    """The items sorted by a digest of seed and name.

    Adding or removing an item does not change the order of the others. Items with equal names keep their given order.
    """
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{name_of(item)}".encode()).digest())
