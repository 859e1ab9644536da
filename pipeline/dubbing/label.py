"""Draws a small text into a corner of frames, such as that their mouths are generated."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from pipeline.core.errors import UserError
from pipeline.dubbing.playback import Frame

MIN_TEXT_PX, TEXT_SHARE = 12, 0.04
"""Smallest height of the text, and its height relative to the frame's."""
_GROUND_OPACITY = 0.5
_MIN_FITTED_PX = 4
_NO_CHARACTER = "\U0010ffff"
"""Unicode guarantees that this is no character, so every font draws what it draws for a character that it lacks."""


def require_drawable(text: str | None) -> None:
    """Raises UserError for a label with characters that its font lacks, or that are not drawn, such as a line break."""
    if not text:
        return
    font = _font(MIN_TEXT_PX)

    def drawn(character: str) -> tuple[tuple[int, int], bytes]:
        mask = font.getmask(character)
        return mask.size, bytes(mask)

    absent = drawn(_NO_CHARACTER)
    lacking = [one for one in dict.fromkeys(text) if not one.isprintable() or drawn(one) == absent]
    if lacking:
        raise UserError(
            f"label is {text!r}, but the font of labels has no {' '.join(map(repr, lacking))}; use Latin, Greek or "
            "Cyrillic letters"
        )


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which the package ``matplotlib`` contains. Pillow's own font has letters without accents only."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size_px)


def label_frames(text: str | None) -> Callable[[Frame], Frame]:
    """A function that draws ``text`` at the bottom left of a frame, ``uint8 [H, W, 3]``; None draws nothing.

    The frames must have one size. White letters on a dark, partly transparent ground; a text that is wider than the
    frame is drawn smaller. The function returns a new array.
    """
    drawn: tuple[Frame, Frame] | None = None

    def label(image: Frame) -> Frame:
        nonlocal drawn
        if not text:
            return image
        if drawn is None:
            drawn = _drawn(text, image.shape[1], image.shape[0])
        ink, opacity = (part.astype(np.uint16) for part in drawn)
        height, width = opacity.shape[:2]
        labelled = image.copy()
        below = labelled[-height:, :width].astype(np.uint16)
        labelled[-height:, :width] = (below * (255 - opacity) + ink * opacity + 127) // 255
        return labelled

    return label


def _drawn(text: str, width: int, height: int) -> tuple[Frame, Frame]:
    """Grey level and opacity of the label: uint8 [h, w, 1] each, at most as large as the frame."""
    size = max(MIN_TEXT_PX, round(TEXT_SHARE * height))
    while True:
        font = _font(size)
        left, top, right, bottom = font.getbbox(text)
        pad = max(2, round(size / 3))
        box = (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad)
        if box[0] <= width or size <= _MIN_FITTED_PX:
            break
        size = max(_MIN_FITTED_PX, size * width // box[0] - 1)
    canvas = PIL.Image.new("L", box, 0)
    ImageDraw.Draw(canvas).text((pad - left, pad - top), text, fill=255, font=font)
    ink = np.asarray(canvas, np.uint8)[-height:, :width, None]
    return ink, np.maximum(ink, round(255 * _GROUND_OPACITY)).astype(np.uint8)
