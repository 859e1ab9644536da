"""Converts decoded frames to upright BGR pictures in the colours of BT.709."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from pipeline.media.container import EXACT_COLOUR
from pipeline.media.header import square_size
from pipeline.media.orientation import Orientation, orientation_of
from pipeline.media.picture import BT709, LIMITED_RANGE, StoredPicture, YuvConverter, YuvPicture, plane_of
from pipeline.media.tone_map import HDR_NAMES, WIDE_GAMUT_NAMES, ToneMapper, needs_mapping

FrameArray = NDArray[np.uint8]

_HD_WIDTH, _PAL_HEIGHT = 1280, 576
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED, AVCOL_RANGE_UNSPECIFIED is 0
_BT601 = (5, 6)  # AVCOL_SPC_BT470BG, AVCOL_SPC_SMPTE170M
_PLANAR_YUV = frozenset(f"{name}4{layout}p" for name in ("yuv", "yuvj") for layout in ("20", "22", "44"))
"""Pixel formats that FFmpeg converts to planes of green, blue and red in half the time of interleaved BGR.

The values are the same if both sides are even and the size stays the same.
"""


class BgrConverter:
    """Converts decoded frames to upright ``uint8 [H, W, 3]`` BGR at the size of the first one.

    One instance keeps FFmpeg's conversion tables. Frames without a colour space are treated as players do: BT.709 above
    PAL size, else BT.601. FFmpeg assumes BT.601 for every size. HDR and wide gamuts become BT.709. Transparent pixels
    are shown on black. ``note`` is called with a sentence about each such conversion.
    """

    def __init__(self, pixel_aspect: Fraction, note: Callable[[str], None]) -> None:
        self._pixel_aspect, self._note = pixel_aspect, note
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()
        self._tone_mappers: dict[tuple[int, int], ToneMapper] = {}
        self._converters: dict[int, YuvConverter] = {}

    def stored(self, frame: Any) -> StoredPicture:
        """The frame as it is stored if it is upright 4:2:0 video in limited range, else as BGR."""
        matrix = self._matrix_of(frame)
        if matrix is None or orientation_of(frame) != Orientation():
            return self(frame)
        if matrix not in self._converters:
            self._converters[matrix] = YuvConverter(matrix)
        return YuvPicture(frame, self._converters[matrix])

    def __call__(self, frame: Any) -> FrameArray:
        orientation = orientation_of(frame)
        codes = (int(frame.color_trc), int(frame.color_primaries))
        if needs_mapping(*codes):
            frame = self._tone_mapped(frame, codes)
        if not _has_alpha(frame):
            return orientation.apply(self._bgr(frame))
        picture = self._reformatted(frame, "bgra").to_ndarray()
        alpha = picture[..., 3:]
        if alpha.min() < 255:
            self._note("its transparent pixels are shown on black")
            picture = (picture.astype(np.uint16) * alpha + 127) // 255
        return orientation.apply(picture[..., :3].astype(np.uint8))

    def _bgr(self, frame: Any) -> FrameArray:
        is_resized = self._size_for(frame) != (frame.width, frame.height)
        if frame.format.name not in _PLANAR_YUV or frame.width % 2 or frame.height % 2 or is_resized:
            picture: FrameArray = self._reformatted(frame, "bgr24").to_ndarray()
            return picture
        planar = self._reformatted(frame, "gbrp")
        green, blue, red = (plane_of(planar, index) for index in range(3))
        merged: Any = cv2.merge([blue, green, red])
        return merged

    def _tone_mapped(self, frame: Any, codes: tuple[int, int]) -> Any:
        mapped = self._reformatted(frame, ToneMapper.FORMAT)
        if codes not in self._tone_mappers:
            kind = HDR_NAMES.get(codes[0])
            name = f"HDR ({kind})" if kind else f"wide gamut ({WIDE_GAMUT_NAMES[codes[1]]})"
            self._note(f"its {name} is converted to BT.709")
            self._tone_mappers[codes] = ToneMapper(mapped, *codes)
        return self._tone_mappers[codes](mapped)

    def _reformatted(self, frame: Any, pixel_format: str) -> Any:
        width, height = self._size_for(frame)
        is_guessed = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=pixel_format,
            src_colorspace=Colorspace.ITU709 if is_guessed and _is_large(frame) else None,
            interpolation=EXACT_COLOUR,
            threads=1,
        )

    def _matrix_of(self, frame: Any) -> int | None:
        """Matrix coefficients of a frame whose planes a `YuvPicture` can hold; None for other frames."""
        is_plain = frame.format.name == "yuv420p" and frame.color_range in (0, LIMITED_RANGE)
        is_even = frame.width % 2 == 0 and frame.height % 2 == 0
        if not (is_plain and is_even) or self._size_for(frame) != (frame.width, frame.height):
            return None
        if needs_mapping(int(frame.color_trc), int(frame.color_primaries)):
            return None
        matrix = int(frame.colorspace)
        if matrix == _UNSPECIFIED:
            return BT709 if _is_large(frame) else _BT601[1]
        return matrix if matrix in (BT709, *_BT601) else None

    def _size_for(self, frame: Any) -> tuple[int, int]:
        """Width and height of the pictures, which the first frame determines."""
        self._size = self._size or square_size(frame.width, frame.height, self._pixel_aspect)
        return self._size


def _is_large(frame: Any) -> bool:
    return bool(frame.width >= _HD_WIDTH or frame.height > _PAL_HEIGHT)


def _has_alpha(frame: Any) -> bool:
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
