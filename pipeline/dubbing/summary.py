"""Summary of a dub. The module imports no heavy package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DubbedFace:
    """A face with generated mouths."""

    number: int | None
    """That of ``list_faces``; None if the largest face was asked for, whose coarser search may find other faces."""
    num_frames: int
    """Output frames in which its mouth is generated."""
    start_s: float
    """Time of its first such frame in the output, s."""
    end_s: float
    """End of its last such frame in the output, s."""
    box_px: tuple[int, int, int, int]
    """Median box in the source: left, top, right and bottom, px."""


@dataclass(frozen=True, kw_only=True)
class ListedFace:
    """A face of a video, in one of its shots."""

    number: int
    """What the option ``who`` takes, from 1."""
    start_s: float
    """Time of its first frame, s."""
    end_s: float
    """End of its last frame, s."""
    share_seen: float
    """Share of the frames from ``start_s`` to ``end_s`` in which it was detected, 0..1."""
    box_px: tuple[int, int, int, int]
    """Median box: left, top, right and bottom, px."""
    is_talking: bool | None
    """Whether ``who="talking"`` chooses it; None if the video has no usable sound."""


def is_unclear_who_talks(faces: Sequence[ListedFace]) -> bool:
    """Whether none of several faces clearly talks, although the video has sound."""
    return len(faces) > 1 and all(face.is_talking is False for face in faces)


@dataclass(frozen=True, kw_only=True, repr=False)
class DubSummary:
    """Summary of the written video. Its ``repr`` has one field a line."""

    path: Path
    """The written file."""
    num_frames: int
    """Frames of the output."""
    num_missing: int
    """Frames that should have a new mouth but do not show the face. They were copied unchanged."""
    num_dubbed: int
    """Frames with a generated mouth. Segments and ``in_silence`` leave others as they are."""
    who: str
    """The faces that were asked for; of segments with different ones each of them, such as ``1; talking``."""
    faces: tuple[DubbedFace, ...]
    """The faces that were dubbed. A face that is seen for less than 0.2 s has no number and is not listed."""
    width: int
    """Width of the output, px. H.264 needs even sides: an odd one is padded by a pixel."""
    height: int
    """Height of the output, px, even likewise."""
    fps: float
    """Frames per second, on average."""
    has_varying_fps: bool = False
    """Whether frames are shown at their own times instead of a constant rate."""
    seconds: float
    """Wall-clock time of the dubbing."""
    notes: tuple[str, ...]
    """What was converted or is missing in the inputs, one sentence each, with the file; and the limits of the model."""

    @property
    def duration_s(self) -> float:
        """Length of the output, s."""
        return self.num_frames / self.fps

    def __repr__(self) -> str:
        lines = [f"    {field.name}={_shown(getattr(self, field.name))}," for field in fields(self)]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _shown(value: object) -> str:
    """``repr`` of the value of a field; of several items one a line."""
    if not isinstance(value, tuple) or not value:
        return repr(value)
    return "\n".join(["(", *(f"        {item!r}," for item in value), "    )"])
