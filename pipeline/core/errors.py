"""The project's error classes and their exit codes. Any other exception is a bug.

A command prints the message of a ``LipsmithError`` and exits with its code. A ValueError, TypeError, IndexError or
KeyError is a broken contract between functions: the command ends with the traceback and exit code 1.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LipsmithError(Exception):
    """Base class of the project's errors. Instances of subclasses can be pickled whatever their constructors take."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class UserError(LipsmithError):
    """An invalid argument, setting or file that the user can correct. The message names it and the remedy."""

    exit_code = 2


class DataError(LipsmithError):
    """Unusable data: a clip, a table or a whole split."""

    exit_code = 3


class TemporaryError(LipsmithError):
    """A failure outside the program that may not recur. The exit code is EX_TEMPFAIL, on which the flows retry."""

    exit_code = 75


def exit_code_of(error: Exception) -> int | None:
    """The exit code of an error that is reported by its message; None for a bug, which needs its traceback.

    Errors of the operating system (disk full, no permission) return the code of UserError. They have an ``errno``. An
    OSError without ``errno`` was raised by a program and counts as a bug.
    """
    if isinstance(error, LipsmithError):
        return error.exit_code
    is_from_system = isinstance(error, OSError) and error.errno is not None
    return UserError.exit_code if is_from_system else None


def first_line(message: object) -> str:
    """The first line of a message or of an error's message, without blanks around it. Empty if there is no text."""
    return str(message).strip().partition("\n")[0].rstrip()


def _restored(kind: type[LipsmithError], args: tuple[Any, ...], attributes: dict[str, Any]) -> LipsmithError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error
