"""Reasons for rejecting a clip or a segment."""

from __future__ import annotations

from enum import StrEnum

from pipeline.core.errors import DataError


class Reason(StrEnum):
    """Stable reason codes of ``rejects.parquet``."""

    MISSING_FILE = "missing_file"
    UNREADABLE_FILE = "unreadable_file"
    BROKEN_VIDEO = "broken_video"
    CHANGED_FILE = "changed_file"
    BROKEN_AUDIO = "broken_audio"
    NO_AUDIO = "no_audio"
    SILENT_AUDIO = "silent_audio"
    LENGTH_MISMATCH = "length_mismatch"
    TOO_SHORT = "too_short"
    NO_FACE = "no_face"
    FACE_LOST = "face_lost"
    FACE_TURNED = "face_turned"
    FACE_TOO_SMALL = "face_too_small"
    BLURRED = "blurred"


class RejectedError(DataError):
    """A clip or segment cannot be used. Has the reason code and a detail for the user."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{detail} [{reason}]")
        self.reason, self.detail = reason, detail
