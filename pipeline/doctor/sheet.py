"""A contact sheet of the worst clips: one row per measure, one picture per clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from pipeline.core import atomic
from pipeline.doctor.data import Survey
from pipeline.doctor.measures import CLIP_MEASURES, Measure, measure_spread, worst_clips
from pipeline.report.plot_style import BACKGROUND, INK, MUTED, RULE
from pipeline.shards.index import IndexRow
from pipeline.shards.read import read_clips

Picture = NDArray[np.uint8]
NUM_WORST = 4
PICTURE_PX = 208
_GAP_PX, _MARGIN_PX, _LABEL_PX, _TEXT_PX, _HEAD_PX = 14, 24, 216, 50, 76


@dataclass(frozen=True)
class Line:
    """A row of the sheet: the worst clips of one measure, with their values. ``median`` is over all kept clips."""

    title: str
    measure: Measure
    median: float
    clips: Sequence[tuple[IndexRow, float]]


def worst_lines(survey: Survey, num: int = NUM_WORST) -> list[Line]:
    """One line per measure that has a bad end and clips there."""
    lines = []
    for measure in CLIP_MEASURES:
        clips = worst_clips(survey.kept, measure, num)
        spread = measure_spread(survey.kept, measure)
        if measure.worst and clips and spread:
            lines.append(Line(measure.worst.title, measure, spread.median, clips))
    return lines


def middle_frames(shards_dir: Path, rows: Iterable[IndexRow]) -> dict[str, Picture]:
    """Clip id -> the context crop of the clip's middle frame, ``uint8 [P, P, 3]`` BGR.

    Raises ShardError or UserError if a clip is missing or damaged.
    """
    wanted: dict[str, set[str]] = {}
    for row in rows:
        wanted.setdefault(row.split, set()).add(row.key)
    return {
        clip.clip_id: clip.context([clip.num_frames // 2])[0]
        for split, keys in wanted.items()
        for clip in read_clips(shards_dir, split, ("context",), keys)
    }


def draw_sheet(lines: Sequence[Line], pictures: dict[str, Picture], num_clips: int, path: Path) -> None:
    """Write the sheet as PNG. ``pictures`` must have every clip of ``lines``; ``num_clips`` counts all kept clips."""
    columns = max(len(line.clips) for line in lines)
    step_px = PICTURE_PX + _GAP_PX
    height_px = PICTURE_PX + _TEXT_PX
    size = (
        2 * _MARGIN_PX + _LABEL_PX + columns * step_px - _GAP_PX,
        _HEAD_PX + len(lines) * (height_px + _GAP_PX) + _MARGIN_PX - _GAP_PX,
    )
    canvas = PIL.Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    large, plain, small = (ImageFont.load_default(px) for px in (24, 17, 14))
    draw.text((_MARGIN_PX, 18), "Worst clips", fill=INK, font=large)
    remark = f"middle frames of the worst of {num_clips} kept clips; grey areas are outside the video frame"
    draw.text((size[0] - _MARGIN_PX, 24), remark, fill=MUTED, font=small, anchor="ra")
    for number, line in enumerate(lines):
        top = _HEAD_PX + number * (height_px + _GAP_PX)
        draw.line([(_MARGIN_PX, top - 10), (size[0] - _MARGIN_PX, top - 10)], fill=RULE)
        draw.text((_MARGIN_PX, top + 2), line.title, fill=INK, font=plain)
        draw.text((_MARGIN_PX, top + 30), line.measure.title, fill=MUTED, font=small)
        draw.text((_MARGIN_PX, top + 52), f"median {line.measure.text(line.median)}", fill=MUTED, font=small)
        for column, (row, value) in enumerate(line.clips):
            left = _MARGIN_PX + _LABEL_PX + column * step_px
            canvas.paste(_thumbnail(pictures[row.clip_id]), (left, top))
            below = top + PICTURE_PX
            draw.text((left, below + 5), line.measure.text(value), fill=INK, font=plain)
            draw.text((left, below + 27), shortened(row.clip_id, small, PICTURE_PX), fill=MUTED, font=small)
    with atomic.replacing(path) as temporary:
        canvas.save(temporary, format="PNG")


def shortened(clip_id: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width_px: float) -> str:
    """The id, cut at the start to fit ``width_px``: clips of a speaker differ at the end."""
    text = clip_id
    while font.getlength(text) > width_px:
        text = "..." + text.removeprefix("...")[1:]
    return text


def _thumbnail(image_bgr: Picture) -> PIL.Image.Image:
    picture = PIL.Image.fromarray(np.ascontiguousarray(image_bgr[..., ::-1]))
    return picture.resize((PICTURE_PX, PICTURE_PX), PIL.Image.Resampling.LANCZOS)
