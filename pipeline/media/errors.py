"""What can be wrong with a media file, as data: each error becomes one row of the reject list."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class MediaError(Exception):
    """A media file that cannot be used: its path, a short stable code, and what exactly was found."""

    def __init__(self, path: str | Path, reason_code: str, detail: str) -> None:
        super().__init__(str(path), reason_code, detail)
        self.path = Path(path)
        self.reason_code = reason_code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.path}: {self.detail} [{self.reason_code}]"

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes send these back, and subclasses take fewer arguments than the base.
        return _restore, (type(self), str(self.path), self.reason_code, self.detail)


def _restore(kind: type[MediaError], path: str, reason_code: str, detail: str) -> MediaError:
    error = kind.__new__(kind)
    MediaError.__init__(error, path, reason_code, detail)
    return error


class MissingMediaError(MediaError):
    """The file does not exist."""

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
