"""Pictures as their file stores them: of which only a part is converted to BGR, changed and converted back.

A picture is BGR, ``uint8 [H, W, 3]``, or a `YuvPicture`. The functions of this module take both. A window is the rows
and the columns of a part, whose starts and stops are even.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.media.container import EXACT_COLOUR

BgrArray = NDArray[np.uint8]
Window = tuple[slice, slice]

BT709, LIMITED_RANGE = 1, 1
_FORMAT = "yuv420p"
_REDUCING = EXACT_COLOUR & ~Interpolation.BILINEAR | Interpolation.AREA


class YuvConverter:
    """Converts between the planes of 4:2:0 video in limited range and BGR.

    ``matrix``: code of the matrix coefficients (ITU-T H.273): 1 is BT.709, 5 and 6 are BT.601. One instance keeps
    FFmpeg's conversion tables for one size of windows and one of reduced pictures.
    """

    def __init__(self, matrix: int) -> None:
        self.matrix = matrix
        self._matrix = Colorspace.ITU709 if matrix == BT709 else Colorspace.ITU601
        self._to_bgr, self._to_yuv, self._reduce = (VideoReformatter() for _ in range(3))

    def bgr(self, frame: Any) -> BgrArray:
        """The whole of a decoded frame: uint8 [H, W, 3]."""
        planar = self._to_bgr.reformat(
            frame, format="gbrp", src_colorspace=self._matrix, interpolation=EXACT_COLOUR, threads=1
        )
        green, blue, red = (plane_of(planar, index) for index in range(3))
        return np.asarray(cv2.merge([blue, green, red]), np.uint8)

    def reduced_bgr(self, frame: Any, width: int, height: int) -> BgrArray:
        """A decoded frame, shrunk to this size: uint8 [height, width, 3]. Each pixel is the mean of an area."""
        reduced = self._reduce.reformat(
            frame,
            width=width,
            height=height,
            format="bgr24",
            src_colorspace=self._matrix,
            interpolation=_REDUCING,
            threads=1,
        )
        return np.asarray(reduced.to_ndarray(), np.uint8)

    def planes(self, image: BgrArray) -> NDArray[np.uint8]:
        """Planes ``uint8 [H * 3 / 2, W]`` of a BGR image with even sides."""
        frame = self._to_yuv.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24"),
            format=_FORMAT,
            dst_colorspace=self._matrix,
            dst_color_range=LIMITED_RANGE,
            interpolation=EXACT_COLOUR,
            threads=1,
        )
        return _joined(frame)


class YuvPicture:
    """A picture in 4:2:0 and limited range. ``frame``: a decoded frame, or one made by `with_planes`; not changed."""

    def __init__(self, frame: Any, convert: YuvConverter) -> None:
        self.frame, self.convert = frame, convert

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3, as of the BGR image."""
        return self.frame.height, self.frame.width, 3

    @cached_property
    def planes(self) -> NDArray[np.uint8]:
        """Planes Y, U and V one after another: uint8 [H * 3 / 2, W]."""
        return _joined(self.frame)

    def with_planes(self, planes: NDArray[np.uint8]) -> YuvPicture:
        """A picture of the same kind with these planes, uint8 [H * 3 / 2, W]."""
        return YuvPicture(frame_of(planes), self.convert)


StoredPicture = BgrArray | YuvPicture


def plane_of(frame: Any, index: int) -> NDArray[np.uint8]:
    """One plane of a decoded frame, uint8 [H, W] at its own size; a view."""
    plane = frame.planes[index]
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def frame_of(planes: NDArray[np.uint8]) -> Any:
    """A frame for FFmpeg with these planes, ``uint8 [H * 3 / 2, W]``."""
    return _frame_of_parts(_split(planes, len(planes) * 2 // 3, planes.shape[1]))


def _frame_of_parts(parts: Sequence[NDArray[np.uint8]]) -> Any:
    height, width = parts[0].shape
    frame = av.VideoFrame(width, height, _FORMAT)
    for index, part in enumerate(parts):  # faster than VideoFrame.from_ndarray
        np.copyto(plane_of(frame, index), part)
    return frame


def _joined(frame: Any) -> NDArray[np.uint8]:
    planes = np.empty((frame.height * 3 // 2, frame.width), np.uint8)
    for index, part in enumerate(_split(planes, frame.height, frame.width)):
        np.copyto(part, plane_of(frame, index))
    return planes


def to_bgr(picture: StoredPicture) -> BgrArray:
    """The whole picture: uint8 [H, W, 3]."""
    return picture if isinstance(picture, np.ndarray) else picture.convert.bgr(picture.frame)


def reduced_to(picture: StoredPicture, max_px: int) -> BgrArray:
    """The picture in BGR with a longer side of ``max_px`` at most.

    BGR is returned as it is: `YuvPicture` saves converting pixels that are not needed.
    """
    height, width, _ = picture.shape
    shrink = max_px / max(height, width)
    if isinstance(picture, np.ndarray) or shrink >= 1:
        return to_bgr(picture)
    return picture.convert.reduced_bgr(picture.frame, max(1, round(width * shrink)), max(1, round(height * shrink)))


def planes_in(picture: StoredPicture, convert: YuvConverter) -> NDArray[np.uint8]:
    """Planes ``uint8 [H * 3 / 2, W]`` with the matrix of ``convert``. BGR must have even sides."""
    if isinstance(picture, YuvPicture) and picture.convert.matrix == convert.matrix:
        return picture.planes
    return convert.planes(to_bgr(picture))


def frame_in(picture: StoredPicture, convert: YuvConverter) -> Any:
    """A frame to encode, see `planes_in`."""
    return frame_of(planes_in(picture, convert))


def part_of(picture: StoredPicture, window: Window) -> BgrArray:
    """A window in BGR: uint8 [h, w, 3]; of a BGR picture a view."""
    if isinstance(picture, np.ndarray):
        return picture[window]
    parts = [plane_of(picture.frame, index)[_of_plane(window, index)] for index in range(3)]
    return picture.convert.bgr(_frame_of_parts(parts))


def with_part(picture: StoredPicture, window: Window, before: BgrArray, after: BgrArray) -> StoredPicture:
    """The picture with another image in a window: ``before`` is what `part_of` returned, both are uint8 [h, w, 3].

    Of a `YuvPicture` only the pixels that differ are changed; colour is stored for 2x2 pixels together.
    """
    if isinstance(picture, np.ndarray):
        changed = picture.copy()
        changed[window] = after
        return changed
    differs = _differs(before, after)
    height, width, _ = picture.shape
    planes, new = picture.planes.copy(), picture.convert.planes(after)
    masks = differs, *[differs[::2, ::2] | differs[1::2, ::2] | differs[::2, 1::2] | differs[1::2, 1::2]] * 2
    stored, made = _split(planes, height, width), _split(new, *after.shape[:2])
    for index, (target, source, mask) in enumerate(zip(stored, made, masks, strict=True)):
        np.copyto(target[_of_plane(window, index)], source, where=mask)
    return picture.with_planes(planes)


def _differs(before: BgrArray, after: BgrArray) -> NDArray[np.bool_]:
    difference = before != after
    return difference[..., 0] | difference[..., 1] | difference[..., 2]


def _split(planes: NDArray[np.uint8], height: int, width: int) -> tuple[NDArray[np.uint8], ...]:
    """Views of Y, U and V."""
    blue, red = planes[height:].reshape(2, height // 2, width // 2)
    return planes[:height], blue, red


def _of_plane(window: Window, index: int) -> Window:
    if index == 0:
        return window
    rows, columns = (slice(side.start // 2, side.stop // 2) for side in window)
    return rows, columns
