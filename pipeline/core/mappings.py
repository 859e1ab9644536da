"""Comparison of mappings, such as two descriptions of an evaluation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any], without: Collection[str] = ()) -> list[str]:
    """Sorted keys whose values differ between two mappings. A missing key counts as None.

    ``without``: keys that are left out.
    """
    keys = (one.keys() | other.keys()) - set(without)
    return sorted(key for key in keys if one.get(key) != other.get(key))
