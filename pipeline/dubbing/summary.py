"""Summary of a dub. The module imports no heavy package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DubSummary:
    """Summary of the written video."""

    path: Path
    num_frames: int
    num_missing: int
    """Frames without a face, which were copied unchanged."""
    width: int
    """Width of the output, px. H.264 needs even sides: an odd one is padded by a pixel. ``height`` likewise."""
    height: int
    fps: float
    seconds: float
    """Wall-clock time of the dubbing."""
    notes: tuple[str, ...]
    """What was converted or is missing in the inputs, one sentence each, with the file."""

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.fps
