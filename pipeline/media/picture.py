"""Pictures as their file stores them: of which only a part is converted to BGR, changed and converted back.

A picture is BGR, ``uint8 [H, W, 3]``, or a `YuvPicture`. The functions of this module take both. A window is the rows
and the columns of a part, whose starts and stops are even.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.media.container import EXACT_COLOUR
from pipeline.media.yuv_matrix import YuvMatrix

BgrArray = NDArray[np.uint8]
Window = tuple[slice, slice]

BT709, LIMITED_RANGE = 1, 1
_FORMAT = "yuv420p"
_REDUCING = EXACT_COLOUR & ~Interpolation.BILINEAR | Interpolation.AREA


class YuvConverter:
    """Converts between the planes of 4:2:0 video in limited range and BGR.

    ``matrix``: code of the matrix coefficients (ITU-T H.273): 1 is BT.709, 5 and 6 are BT.601. One instance keeps
    FFmpeg's conversion tables for one size of windows and one of reduced pictures. ``of_pixels`` converts pixels with
    U and V of their own.
    """

    def __init__(self, matrix: int) -> None:
        self.matrix, self.of_pixels = matrix, YuvMatrix(is_bt709=matrix == BT709)
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

    def frame(self, image: BgrArray) -> Any:
        """A frame with the planes of a BGR image with even sides."""
        return self._to_yuv.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24"),
            format=_FORMAT,
            dst_colorspace=self._matrix,
            dst_color_range=LIMITED_RANGE,
            interpolation=EXACT_COLOUR,
            threads=1,
        )


class YuvPicture:
    """A picture in 4:2:0 and limited range.

    ``frame``: a decoded frame, or (``is_own``) one that was made for this picture. Its pixels are not changed.
    """

    def __init__(self, frame: Any, convert: YuvConverter, *, is_own: bool = False) -> None:
        self.frame, self.convert, self.is_own = frame, convert, is_own

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3, as of the BGR image."""
        return self.frame.height, self.frame.width, 3

    @property
    def nbytes(self) -> int:
        """Size of the planes in bytes."""
        return int(self.frame.height * self.frame.width * 3 // 2)

    def plane(self, index: int) -> NDArray[np.uint8]:
        """Y, U or V: a view, uint8 [H, W], or [H / 2, W / 2] for U and V."""
        return plane_of(self.frame, index)

    def copy(self) -> YuvPicture:
        """A picture whose planes may be changed."""
        return YuvPicture(_copied(self.frame), self.convert, is_own=True)

    @property
    def planes(self) -> NDArray[np.uint8]:
        """A copy of the planes Y, U and V one after another: uint8 [H * 3 / 2, W]."""
        planes = np.empty((self.frame.height * 3 // 2, self.frame.width), np.uint8)
        for index, part in enumerate(_split(planes, self.frame.height, self.frame.width)):
            np.copyto(part, plane_of(self.frame, index))
        return planes

    def with_planes(self, planes: NDArray[np.uint8]) -> YuvPicture:
        """A picture of the same kind with these planes, uint8 [H * 3 / 2, W]."""
        height, width, _ = self.shape
        return YuvPicture(_frame_of(_split(planes, height, width)), self.convert, is_own=True)


StoredPicture = BgrArray | YuvPicture


def plane_of(frame: Any, index: int) -> NDArray[np.uint8]:
    """One plane of a decoded frame, uint8 [H, W] at its own size; a view."""
    plane = frame.planes[index]
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _frame_of(parts: Sequence[NDArray[np.uint8]]) -> Any:
    """A new frame with these planes."""
    height, width = parts[0].shape
    frame = av.VideoFrame(width, height, _FORMAT)
    for index, part in enumerate(parts):  # faster than VideoFrame.from_ndarray
        np.copyto(plane_of(frame, index), part)
    return frame


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
    return YuvPicture(convert.frame(to_bgr(picture)), convert).planes


def frame_in(picture: StoredPicture, convert: YuvConverter) -> Any:
    """A frame to encode, whose times may be set; see `planes_in`."""
    if not isinstance(picture, YuvPicture) or picture.convert.matrix != convert.matrix:
        return convert.frame(to_bgr(picture))
    return picture.frame if picture.is_own else _copied(picture.frame)


def _copied(frame: Any) -> Any:
    return _frame_of([plane_of(frame, index) for index in range(3)])


def part_of(picture: StoredPicture, window: Window) -> BgrArray:
    """A window in BGR: uint8 [h, w, 3]; of a BGR picture a view."""
    if isinstance(picture, np.ndarray):
        return picture[window]
    parts = [plane_of(picture.frame, index)[_of_plane(window, index)] for index in range(3)]
    return picture.convert.bgr(_frame_of(parts))


def with_part(picture: StoredPicture, window: Window, before: BgrArray, after: BgrArray) -> StoredPicture:
    """The picture with another image in a window: ``before`` is what `part_of` returned, both are uint8 [h, w, 3].

    Of a `YuvPicture` only the pixels that differ are changed; colour is stored for 2x2 pixels together.
    """
    if isinstance(picture, np.ndarray):
        image = picture.copy()
        image[window] = after
        return image
    differs = _differs(before, after)
    changed, new = picture.copy(), picture.convert.frame(after)
    masks = differs, *[differs[::2, ::2] | differs[1::2, ::2] | differs[::2, 1::2] | differs[1::2, 1::2]] * 2
    for index, mask in enumerate(masks):
        np.copyto(changed.plane(index)[_of_plane(window, index)], plane_of(new, index), where=mask)
    return changed


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
