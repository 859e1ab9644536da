"""Errors of media files. Preprocessing turns each into a row of the reject list."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import DataError, UserError


class MediaError(DataError):
    """A media file is unusable. Has the path, a stable reason code, and a detail for the user."""

    def __init__(self, path: str | Path, reason_code: str, detail: str) -> None:
        super().__init__(f"{path}: {detail} [{reason_code}]")
        self.path = Path(path)
        self.reason_code = reason_code
        self.detail = detail


class MissingMediaError(MediaError):
    """The file does not exist. Exits as a user error: the path on the command line is wrong, not the data."""

    exit_code = UserError.exit_code

    def __init__(self, path: str | Path, detail: str = "no such file") -> None:
        super().__init__(path, "missing_file", detail)


class CorruptMediaError(MediaError):
    """The file cannot be opened, or too little of it can be decoded."""

    def __init__(self, path: str | Path, detail: str) -> None:
        super().__init__(path, "corrupt", detail)


class NoAudioError(MediaError):
    """The file has no audio stream."""

    def __init__(self, path: str | Path, detail: str = "has no audio stream") -> None:
        super().__init__(path, "no_audio", detail)


class NoVideoError(MediaError):
    """The file has no video stream."""

    def __init__(self, path: str | Path, detail: str = "has no video stream") -> None:
        super().__init__(path, "no_video", detail)
