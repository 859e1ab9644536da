"""Options of one dub, which the command line and `Dubber` share. The module imports no heavy package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from pipeline.core.choices import Length, Reference
from pipeline.core.errors import UserError
from pipeline.dubbing.choices import Fill, InSilence, OnMissing
from pipeline.dubbing.phases import OnProgress
from pipeline.dubbing.segments import DubSegment


class DubOptions(TypedDict, total=False):
    """Options of one dub, as in `DubSettings`.

    ``start`` and ``end``, in seconds, make the speech a segment: the rest of the video stays as it is.
    """

    length: Length
    fill: Fill
    on_missing: OnMissing
    reference: Reference
    audio_track: int | None
    who: str | int
    start: float | None
    end: float | None
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


def require_choices(options: Mapping[str, Any]) -> None:
    """Raises UserError if an option with a fixed set of choices has another value."""
    for name, hint in get_type_hints(DubOptions).items():
        if name in options and get_origin(hint) is Literal and options[name] not in get_args(hint):
            raise UserError(f"{name} is {options[name]!r}; allowed: {', '.join(map(str, get_args(hint)))}")
