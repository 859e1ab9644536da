"""What a media file states about itself."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_LEAST_STRETCH = Fraction(1, 100)
_MOST_STRETCH = 4
"""Range of pixel aspect ratios that are applied: less is encoder rounding, more is a damaged header."""


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

    @property
    def square_size(self) -> tuple[int, int]:
        """Width and height in square pixels: the size of ``MediaFile.frames(square_pixels=True)``."""
        return square_size(self.width, self.height, self.pixel_aspect)


def square_size(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Width and height in square pixels: the shorter side of a pixel is stretched."""
    is_slight = abs(pixel_aspect - 1) <= _LEAST_STRETCH
    if is_slight or not Fraction(1, _MOST_STRETCH) <= pixel_aspect <= _MOST_STRETCH:
        return width, height
    return (round(width * pixel_aspect), height) if pixel_aspect > 1 else (width, round(height / pixel_aspect))
