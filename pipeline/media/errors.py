"""Errors of media files. Preprocessing turns each into a row of the reject list."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import ClassVar, Self

from pipeline.core.errors import DataError, UserError


class MediaError(DataError):
    """A media file is unusable. Has the path, a stable reason code, and a detail for the user."""

    needs_other_kind: ClassVar[bool] = False
    """Whether a file of another kind is needed, such as one with sound."""

    def __init__(self, path: str | Path, reason_code: str, detail: str) -> None:
        super().__init__(f"{path}: {detail} [{reason_code}]")
        self.path = Path(path)
        self.reason_code = reason_code
        self.detail = detail

    def of_option(self, option: str, allowed: str) -> Self:
        """The same error with a message that names the option and, for another kind of file, what is ``allowed``."""
        named = copy.copy(self)
        advice = f"; allowed: {allowed}" if self.needs_other_kind else ""
        named.args = (f"{option} {self.path}: {self.detail}{advice} [{self.reason_code}]",)
        return named


class MissingMediaError(MediaError):
    """The file does not exist. Exits as a user error: the path on the command line is wrong, not the data."""

    exit_code = UserError.exit_code

    def __init__(self, path: str | Path, detail: str = "no such file") -> None:
        super().__init__(path, "missing_file", detail)


class FolderInsteadError(MissingMediaError):
    """The path is a folder where a file is needed."""

    needs_other_kind = True

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, "is a folder, not a file")


class CorruptMediaError(MediaError):
    """The file cannot be opened, or too little of it can be decoded."""

    def __init__(self, path: str | Path, detail: str) -> None:
        super().__init__(path, "corrupt", detail)


class NotMediaError(CorruptMediaError):
    """The file is no media file, or so damaged that it cannot be opened."""

    needs_other_kind = True


class NoAudioError(MediaError):
    """The file has no audio stream."""

    needs_other_kind = True

    def __init__(self, path: str | Path, detail: str = "has no audio stream") -> None:
        super().__init__(path, "no_audio", detail)


class NoVideoError(MediaError):
    """The file has no video stream."""

    needs_other_kind = True

    def __init__(self, path: str | Path, detail: str = "has no video stream") -> None:
        super().__init__(path, "no_video", detail)
