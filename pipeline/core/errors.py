"""Errors that one line explains, with the exit code each ends a command with; any other exception is a bug.

A command prints the message of a ``LipsmithError`` and exits with its code. A bare ValueError, TypeError, IndexError or
KeyError is a broken contract between functions: it ends the command with its traceback and exit code 1.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LipsmithError(Exception):
    """The root of every error that this project defines; it survives pickling whatever its constructor takes."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class UserError(LipsmithError):
    """A request, a setting or a file that the user can put right; the message names it and the remedy."""

    exit_code = 2


class DataError(LipsmithError):
    """The data cannot be used: a clip, a table or a whole split of them."""

    exit_code = 3


class TemporaryError(LipsmithError):
    """Something outside failed; trying again may work. The exit code is EX_TEMPFAIL, on which the flows retry."""

    exit_code = 75


def exit_code_of(error: Exception) -> int | None:
    """The exit code of an error whose message is enough, None for a bug, whose traceback is needed.

    The operating system's own errors (disk full, no permission) count as the user's to put right. They carry its error
    number; an OSError without one was made up by a program.
    """
    if isinstance(error, LipsmithError):
        return error.exit_code
    is_from_system = isinstance(error, OSError) and error.errno is not None
    return UserError.exit_code if is_from_system else None


def _restored(kind: type[LipsmithError], args: tuple[Any, ...], attributes: dict[str, Any]) -> LipsmithError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
