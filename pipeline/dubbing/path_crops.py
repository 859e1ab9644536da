"""Crops of the followed faces of a video, and the parts of the frames that contain them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.face_path import Followed
from pipeline.faces.crops import Cropper
from pipeline.faces.roll import rotated
from pipeline.media.picture import StoredPicture, Window, YuvPicture

_LUMA_OUTSIDE, _CHROMA_OUTSIDE = 110, 128
"""The grey of `pipeline.faces.crops.BORDER_VALUE` in limited range."""


class PathCropper:
    """Crops the faces of ``followed`` at ``size_px``. The planes of a `YuvPicture` are cropped before their conversion.

    Each face path has a sampling density of its own: with one density for a near and a distant face, the crops of the
    near one would have aliases, or those of the distant one would be blurred.
    """

    def __init__(self, followed: Followed, size_px: int) -> None:
        has_face = np.isfinite(followed.boxes[:, 0])
        self._paths = np.zeros(len(has_face), np.int64) if followed.paths is None else followed.paths
        self._places = np.zeros(len(has_face), np.int64)
        self._croppers: dict[int, tuple[Cropper, Cropper, Cropper]] = {}
        for path in np.unique(self._paths[has_face]).tolist():
            frames = np.flatnonzero(has_face & (self._paths == path))
            self._places[frames] = np.arange(len(frames))
            boxes, rolls = followed.boxes[frames], followed.rolls[frames]
            self._croppers[path] = (
                Cropper(boxes, size_px, rolls=rolls),
                Cropper(boxes, size_px, rolls=rolls, outside=_LUMA_OUTSIDE),
                Cropper(boxes / 2, size_px, rolls=rolls, outside=_CHROMA_OUTSIDE),
            )

    def __call__(self, picture: StoredPicture, index: int) -> NDArray[np.uint8]:
        """The crop of frame ``index``, which must show a face: uint8 [size_px, size_px, 3] BGR."""
        of_bgr, of_luma, of_chroma = self._croppers[int(self._paths[index])]
        place = int(self._places[index])
        if not isinstance(picture, YuvPicture):
            return of_bgr(picture, place)
        blue, red = (of_chroma(picture.plane(k), place) for k in (1, 2))
        return picture.convert.of_pixels.bgr(of_luma(picture.plane(0), place), blue, red)


MARGIN_PX, _STEP_PX = 8, 32
"""Pixels around a box that belong to its window, and the step of the windows' sizes."""


class FaceWindows:
    """For each frame the part that contains the box of its face and ``MARGIN_PX`` around it, inside the frame.

    All parts have one size, so that tables for their conversion are computed once. ``boxes: float64 [N, 4]`` are the
    boxes of ``followed`` relative to the parts' corners.
    """

    def __init__(self, followed: Followed, height: int, width: int) -> None:
        centres = (followed.boxes[:, :2] + followed.boxes[:, 2:]) / 2
        corners = followed.boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]
        extents = np.abs(rotated(corners, centres[:, None], followed.rolls[:, None]) - centres[:, None]).max(axis=1)
        sides = 2 * (np.nan_to_num(extents).max(axis=0, initial=0) + MARGIN_PX + 1)
        limits = np.array([width, height])
        self._size = np.minimum(np.ceil(sides / _STEP_PX) * _STEP_PX, limits).astype(np.int64)
        starts = np.floor((np.nan_to_num(centres) - self._size / 2) / 2) * 2
        self._starts = np.clip(starts, 0, limits - self._size).astype(np.int64)
        self.boxes = followed.boxes - np.tile(self._starts, 2)

    def __getitem__(self, frame: int) -> Window:
        """ArrayRows and columns of the part of a frame."""
        (x, y), (width, height) = self._starts[frame], self._size
        return slice(int(y), int(y + height)), slice(int(x), int(x + width))
