"""A contact sheet of a video's faces with their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.dubbing.summary import ListedFace
from pipeline.report.plot_style import BACKGROUND, INK, MUTED

_COLUMNS = 5
_GAP_PX, _TEXT_PX = 20, 74


def require_sheet(path: Path, face: Path) -> None:
    """Raises UserError unless ``path`` is a PNG file that can be written, and no picture of ``face``.

    ``face``: the video, picture or folder of pictures that is read. Creates the folder of ``path``.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"--list-faces {path}: the file name must end in .png")
    atomic.require_not_input(path, "--list-faces", [("--face", face)])
    if path.parent.exists() and face.exists() and path.parent.samefile(face):
        raise UserError(f"--list-faces {path} lies among the pictures of --face {face}; choose another folder for it")
    atomic.require_writable(path, "--list-faces")


def draw_faces(faces: Sequence[ListedFace], pictures: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Write a PNG with ``pictures: uint8 [S, S, 3]`` BGR, one per face, atomically."""
    side = pictures[0].shape[0]
    columns = min(_COLUMNS, len(faces))
    rows = math.ceil(len(faces) / columns)
    size = (_GAP_PX + columns * (side + _GAP_PX), _GAP_PX + rows * (side + _TEXT_PX + _GAP_PX))
    canvas = PIL.Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(30), ImageFont.load_default(15)
    for place, (face, picture) in enumerate(zip(faces, pictures, strict=True)):
        left = _GAP_PX + place % columns * (side + _GAP_PX)
        top = _GAP_PX + place // columns * (side + _TEXT_PX + _GAP_PX)
        canvas.paste(PIL.Image.fromarray(np.ascontiguousarray(picture[..., ::-1])), (left, top))
        draw.text((left, top + side + 6), str(face.number), fill=INK, font=large)
        if face.is_talking:
            draw.text((left + side, top + side + 14), "talks", fill=INK, font=small, anchor="ra")
        x0, y0, x1, y1 = face.box_px
        facts = f"{face.start_s:.1f} s to {face.end_s:.1f} s, {x1 - x0}x{y1 - y0} px"
        draw.text((left, top + side + 48), facts, fill=MUTED, font=small)
    with atomic.replacing(path) as temporary:
        canvas.save(temporary, format="PNG")
