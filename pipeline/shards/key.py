"""A clip's name inside tars."""

from __future__ import annotations

import re

MAX_ID_CHARS = 80
"""A tar header holds names up to 100 characters, the member's ending included."""


def sample_key(clip_id: str) -> str:
    """The name of a clip: its id with every character but ``A-Za-z0-9_-`` as ``_``.

    Raises ValueError for an empty or too long clip id.
    """
    if not 0 < len(clip_id) <= MAX_ID_CHARS:
        raise ValueError(f"clip id {clip_id!r} must have 1 to {MAX_ID_CHARS} characters")
    return plain_name(clip_id)


def plain_name(text: str) -> str:
    """``text`` of any length with every character but ``A-Za-z0-9_-`` as ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
