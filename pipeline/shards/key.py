"""Names of clips and segments, and their keys in tars."""

from __future__ import annotations

import re

from pipeline.core.errors import UserError

MAX_ID_CHARS = 80
"""A tar header stores names of up to 100 characters, including the member's suffix."""
SEGMENT_CHARS = 5
"""Length of the suffix of a segment's name: ``-p000``."""
_SEGMENT = re.compile(r"-p\d{3,}$")


def segment_id(clip_id: str, number: int) -> str:
    """The name of a segment of a clip: ``s1/a`` -> ``s1/a-p003``."""
    return f"{clip_id}-p{number:03d}"


def source_of(clip_id: str) -> str:
    """Id of the source clip of a segment. The id of a whole clip is returned unchanged."""
    return _SEGMENT.sub("", clip_id)


def sample_key(clip_id: str) -> str:
    """Key of a clip: its id with every character except ``A-Za-z0-9_-`` replaced by ``_``.

    Raises UserError for an empty clip id or one that is too long.
    """
    if not 0 < len(clip_id) <= MAX_ID_CHARS:
        raise UserError(f"clip id {clip_id!r} must have 1 to {MAX_ID_CHARS} characters: rename the file")
    return plain_name(clip_id)


def plain_name(text: str) -> str:
    """``text`` of any length with every character except ``A-Za-z0-9_-`` replaced by ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
