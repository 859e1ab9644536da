"""What can be wrong with a media file, as data: each error becomes one row of the reject list."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import DataError, UserError


class MediaError(DataError):
    """A media file that cannot be used: its path, a short stable code, and what exactly was found."""

    def __init__(self, path: str | Path, reason_code: str, detail: str) -> None:
        super().__init__(f"{path}: {detail} [{reason_code}]")
        self.path = Path(path)
        self.reason_code = reason_code
        self.detail = detail


class MissingMediaError(MediaError):
    """The file does not exist: where a command names it, the request is wrong, not the data."""

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
