"""Summary of a dub. The module imports no heavy package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DubbedFace:
    """A face with generated mouths.

    ``number`` is that of ``list_faces``; None if the largest face was asked for, whose search is coarser.
    """

    number: int | None
    num_frames: int
    """Output frames in which its mouth is generated."""
    start_s: float
    """Time of its first such frame in the output, s; ``end_s`` is the end of the last."""
    end_s: float
    box_px: tuple[int, int, int, int]
    """Median box in the source: left, top, right and bottom, px."""


@dataclass(frozen=True, kw_only=True)
class ListedFace:
    """A face of a video, in one of its shots."""

    number: int
    start_s: float
    """Time of its first frame, s; ``end_s`` is the end of the last."""
    end_s: float
    share_seen: float
    """Share of the frames between them in which it was detected, 0..1."""
    box_px: tuple[int, int, int, int]
    """Median box: left, top, right and bottom, px."""
    is_talking: bool | None
    """Whether ``who="talking"`` chooses it; None if the video has no usable sound."""


@dataclass(frozen=True, kw_only=True)
class DubSummary:
    """Summary of the written video."""

    path: Path
    num_frames: int
    num_missing: int
    """Frames that should have a new mouth but do not show the face. They were copied unchanged."""
    num_dubbed: int
    """Frames with a generated mouth. Segments and ``in_silence`` leave others as they are."""
    who: str
    """The faces that were asked for; of segments with different ones each of them, such as ``1; talking``."""
    faces: tuple[DubbedFace, ...]
    """The faces that were dubbed. A face that is seen for less than 0.2 s has no number and is not listed."""
    width: int
    """Width of the output, px. H.264 needs even sides: an odd one is padded by a pixel. ``height`` likewise."""
    height: int
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
        return self.num_frames / self.fps
