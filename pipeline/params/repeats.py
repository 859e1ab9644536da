"""Variants that repeat another one with another seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def repeats_among(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Variants that differ from another one in the seed only -> that variant.

    ``variants``: that section of ``params.yaml``, in which no two variants are equal. The original is the variant
    without a seed of its own, or the first one if all have a seed.
    """
    alike: dict[str, list[str]] = {}
    for name, settings in variants.items():
        rest = repr(sorted((key, value) for key, value in settings.items() if key != "seed"))
        alike.setdefault(rest, []).append(name)
    found: dict[str, str] = {}
    for names in alike.values():
        original = next((name for name in names if variants[name]["seed"] is None), names[0])
        found |= {name: original for name in names if name != original}
    return found
