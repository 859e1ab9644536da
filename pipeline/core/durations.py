"""Durations as text."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """Minutes and seconds, and hours from one hour on, such as ``0:20`` and ``1:02:05``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
