"""A clip's name inside tars."""

from __future__ import annotations

import re

from pipeline.core.errors import UserError

MAX_ID_CHARS = 80
"""A tar header holds names up to 100 characters, the member's ending included."""
SEGMENT_CHARS = 5
"""What the name of a segment of a clip adds to the clip's: ``-p000``."""
_SEGMENT = re.compile(r"-p\d{3,}$")


def segment_id(clip_id: str, number: int) -> str:
    """The name of a segment of a clip: ``s1/a`` -> ``s1/a-p003``."""
    return f"{clip_id}-p{number:03d}"


def source_of(clip_id: str) -> str:
    """The clip that a segment belongs to; a whole clip is its own."""
    return _SEGMENT.sub("", clip_id)


def sample_key(clip_id: str) -> str:
    """The name of a clip: its id with every character but ``A-Za-z0-9_-`` as ``_``.

    Raises UserError for an empty or too long clip id.
    """
    if not 0 < len(clip_id) <= MAX_ID_CHARS:
        raise UserError(f"clip id {clip_id!r} must have 1 to {MAX_ID_CHARS} characters: rename the file")
    return plain_name(clip_id)


def plain_name(text: str) -> str:
    """``text`` of any length with every character but ``A-Za-z0-9_-`` as ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
