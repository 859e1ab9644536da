"""Which faces to dub, as an option. The module imports no heavy package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, cast, get_args

from pipeline.core.errors import UserError

WhoByName = Literal["largest", "talking"]
Who = WhoByName | tuple[int, ...]
"""The largest face, and in frames without it the next largest; the face whose mouth moves with the sound of the video;
or faces by their numbers."""

HOW_TO_LIST = "dub --list-faces or list_faces() shows them"
"""Where messages send the reader for the numbers of faces: the command, or the function of `pipeline.dubbing`."""


def parse_who(value: str | int | Sequence[int]) -> Who:
    """``largest``, ``talking``, a number such as ``2``, or several such as ``1,3`` or a sequence of numbers.

    Raises UserError for others.
    """
    if value in get_args(WhoByName):
        return cast(WhoByName, value)
    text = str(value) if isinstance(value, str) or not isinstance(value, Iterable) else ",".join(map(str, value))
    numbers = text.split(",")
    if not all(number.strip().isdecimal() and int(number) > 0 for number in numbers):
        raise UserError(f"who is {text!r}; allowed: largest, talking, or numbers of faces from 1, such as 2 or 1,3")
    return tuple(map(int, numbers))


def who_text(who: Who) -> str:
    """The choice as the user writes it."""
    return who if isinstance(who, str) else ",".join(map(str, who))
