"""Smooth pictures as a video stores them."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from pipeline.media.colour import BgrConverter
from pipeline.media.picture import YuvPicture

WIDTH, HEIGHT = 128, 96


def smooth(pixel_format: str = "yuv420p", space: int = 1, span: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)):
    """A frame with a smooth picture, as decoded from a video with these codes."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    waves = [np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)]
    image = (127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixel_format)
    frame.colorspace, frame.color_range = space, span
    return frame


def stored(frame: av.VideoFrame) -> YuvPicture:
    picture = BgrConverter(Fraction(1), print).stored(frame)
    assert isinstance(picture, YuvPicture)
    return picture
