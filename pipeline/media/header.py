"""What a media file states about itself."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Header:
    """Properties of a file that need no decoding."""

    fps: Fraction | None
    """None without video. Measured from timestamps if the file states its clock rate instead of its frame rate."""
    num_frames: int
    """Estimated from the duration if the file has no count; 0 if unknown or without video."""
    duration_s: float
    """0 if the file does not state it."""
    pixel_aspect: Fraction
    """Width over height of a stored pixel; 1 if the file does not state it."""
    has_audio: bool


@dataclass(frozen=True, kw_only=True)
class Display:
    """The upright frame as players show it: size in pixels, and a pixel's width over its height."""

    width: int
    height: int
    pixel_aspect: Fraction
