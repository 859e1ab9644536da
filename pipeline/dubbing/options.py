"""Options of one dub, which the command line and `Dubber` share. The module imports no heavy package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from pipeline.core.choices import Length, Reference
from pipeline.core.errors import UserError
from pipeline.dubbing.option_values import Fill, InSilence, OnMissing
from pipeline.dubbing.phases import OnProgress
from pipeline.dubbing.segments import DubSegment, parse_time
from pipeline.dubbing.who import parse_who


class DubOptions(TypedDict, total=False):
    """Options of one dub, as in `DubSettings`.

    ``start`` and ``end``, as in `parse_time`, make the speech a segment: the rest of the video stays as it is.
    """

    length: Length
    fill: Fill
    on_missing: OnMissing
    reference: Reference
    audio_track: int | None
    who: str | int | Sequence[int]
    start: float | str | None
    end: float | str | None
    segments: Sequence[DubSegment]
    in_silence: InSilence
    drive: Path | None
    fps: float | None
    min_dubbed: float | None
    detail: float
    keep_frames: Path | None
    comment: str | None
    label: str | None
    on_progress: OnProgress | None


_ACCEPTED: Mapping[Any, tuple[type | tuple[type, ...], str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
    Path: ((str, PathLike), "a path"),
}
"""The types of a value by the declared type of its option, and how a message names them."""
_CHECKED_WHERE_READ = ("who", "start", "end", "segments")


def require_options(options: Mapping[str, Any]) -> None:
    """Raises UserError for an unknown option, and for a value of another type or that is none of the choices."""
    hints = get_type_hints(DubOptions)
    for name, value in options.items():
        if name not in hints:
            raise UserError(f"{name} is no option of a dub; allowed: {', '.join(hints)}")
        if get_origin(hints[name]) is Literal:
            is_allowed, allowed = value in get_args(hints[name]), ", ".join(map(str, get_args(hints[name])))
        elif name in _CHECKED_WHERE_READ:
            continue
        else:
            is_allowed, allowed = _matches(value, get_args(hints[name]) or (hints[name],))
        if not is_allowed:
            raise UserError(f"{name} is {value!r}; allowed: {allowed}")


def require_path(name: str, value: Any) -> Path:
    """The path that an argument names. Raises UserError if its value is no path."""
    if not isinstance(value, str | PathLike):
        raise UserError(f"{name} is {value!r}; allowed: {_ACCEPTED[Path][1]}")
    return Path(value)


def require_segments(segments: Any) -> list[DubSegment]:
    """The segments with their times in seconds. Raises UserError for what is no segment, or has an unusable value."""
    if isinstance(segments, str) or not isinstance(segments, Sequence):
        raise UserError(f"segments is {segments!r}; allowed: a list of DubSegment")
    return [_usable_segment(segment) for segment in segments]


def _usable_segment(segment: Any) -> DubSegment:
    if not isinstance(segment, DubSegment):
        raise UserError(f"segments contains {segment!r}; allowed: DubSegment(audio=...), with start_s, end_s and who")
    return DubSegment(
        audio=require_path("audio of a segment", segment.audio),
        start_s=parse_time(segment.start_s),
        end_s=None if segment.end_s is None else parse_time(segment.end_s),
        who=None if segment.who is None else parse_who(segment.who),
    )


def _matches(value: Any, kinds: Sequence[Any]) -> tuple[bool, str]:
    """Whether a value has the type of its option, and which values are allowed."""
    kind = next(kind for kind in kinds if kind is not type(None))
    accepted, allowed = _ACCEPTED.get(kind, (None, "a function"))
    is_allowed = callable(value) if accepted is None else isinstance(value, accepted) and not isinstance(value, bool)
    if type(None) in kinds:
        return value is None or is_allowed, f"{allowed} or None"
    return is_allowed, allowed
