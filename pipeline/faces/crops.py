"""Crop boxes around a face, and crops without jitter or aliasing.

A face is a row ``centre x, centre y, half-size, half-width, half-height`` of `pipeline.faces.smooth.smooth_faces`; a
box is ``x0, y0, x1, y1``. Both are in pixels.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.choices import FACE_SIZE_PX
from pipeline.core.choices import CropGeometry

CROP_PX = FACE_SIZE_PX
"""Side of face crops in pixels, if nothing sets another size. Crops of all sizes are scored at this size."""
BORDER_VALUE = 110
"""Grey level outside the frame, as in syncnet_python."""
CHIN_MARGIN = 0.06
"""Share of the face box's height that a ``square`` crop adds below the chin, to contain an open jaw."""
CONTEXT_MARGIN = 0.4
"""Share of the face's size that a context crop adds at the bottom; half of it at each side."""


def crop_boxes(faces: NDArray[np.float64], geometry: CropGeometry) -> NDArray[np.float64]:
    """Boxes of face crops, for generator and expert, forehead to chin: float64 [N, 5] -> [N, 4].

    The mouth is in the lower half. A ``box`` is higher than wide; the crop stretches it to a square. Unlike Wav2Lip's,
    it is smoothed, and its part outside the frame is not cut off.
    """
    if geometry == "square":
        return _squares(faces, CHIN_MARGIN)
    centres, halves = faces[:, :2], faces[:, 3:]
    return np.concatenate([centres - halves, centres + halves], axis=1)


def context_boxes(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes of context crops, for the evaluator (syncnet_python, crop scale 0.4): float64 [N, 5] -> [N, 4].

    They contain the boxes of face crops of both geometries.
    """
    return _squares(faces, CONTEXT_MARGIN)


def _squares(faces: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """The face's square extended by ``margin`` at the bottom and half of it at each side, relative to its size."""
    x, y, half = faces[:, :3].T
    grown = half * (1 + margin)
    return np.column_stack([x - grown, y - half, x + grown, y - half + 2 * grown])


def boxes_within(boxes: NDArray[np.float64], outer: NDArray[np.float64], outer_px: int) -> NDArray[np.float64]:
    """``boxes`` in pixel coordinates of their ``outer`` squares resized to ``outer_px``: float64 [N, 4]."""
    scale = outer_px / (outer[:, 2:] - outer[:, :2])
    corners = [(boxes[:, k : k + 2] - outer[:, :2]) * scale for k in (0, 2)]
    return np.concatenate(corners, axis=1)


class Cropper:
    """Crops ``boxes: float64 [N, 4]`` from the frames of one clip, with sub-pixel accuracy, in any order.

    Boxes that are not square are stretched. Each output pixel is the mean over the area it covers. Pixels outside the
    frame have grey level 110. All frames of a clip use one sampling density per axis, so that their sharpness is equal.

    ``of_crops``: the frames are themselves crops, of little more resolution. They are then interpolated bicubically
    with few samples, because averaging again would blur. Pixels outside the frame repeat its edge.

    ``rolls: float64 [N]``, in degrees: each box is rotated clockwise by it about its centre.

    ``outside``: value of the pixels outside the frame.
    """

    def __init__(
        self,
        boxes: NDArray[np.float64],
        size_px: int,
        *,
        of_crops: bool = False,
        rolls: NDArray[np.float64] | None = None,
        outside: int = BORDER_VALUE,
    ) -> None:
        self._boxes, self._size_px, self._outside = boxes, size_px, outside
        self._rolls = np.zeros(len(boxes)) if rolls is None else rolls
        self._border = cv2.BORDER_REPLICATE if of_crops else cv2.BORDER_CONSTANT
        self._interpolation = cv2.INTER_CUBIC if of_crops else cv2.INTER_LINEAR
        slack = 0.5 if of_crops else 0.1
        self._num_samples = tuple(size_px * _density(boxes[:, k + 2] - boxes[:, k], size_px, slack) for k in (0, 1))

    def __call__(self, frame_bgr: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Crop of frame ``index``: uint8 [size_px, size_px, 3], or without the last axis if the frame has none."""
        across, down = self._num_samples
        crop: Any = cv2.warpAffine(
            frame_bgr,
            crop_to_frame(self._boxes[index], across, down, float(self._rolls[index])),
            self._num_samples,
            flags=self._interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=self._border,
            borderValue=(self._outside,) * 3,
        )
        size = (self._size_px, self._size_px)
        return crop if self._num_samples == size else cv2.resize(crop, size, interpolation=cv2.INTER_AREA)


def _density(sides: NDArray[np.float64], size_px: int, slack: float) -> int:
    """Number of samples per output pixel along one axis for boxes with these ``sides: float64 [N]``.

    ``slack``: a shrinking factor of at most n + ``slack`` takes n samples.
    """
    shrink = float(np.median(sides)) / size_px if len(sides) else 1.0
    return max(1, math.ceil(shrink - slack))


def crop_to_frame(box: NDArray[np.float64], width_px: int, height_px: int, roll: float = 0.0) -> NDArray[np.float64]:
    """Affine map float64 [2, 3] from pixel indices of a crop of this size to pixel indices of the frame.

    ``roll`` as in `Cropper`.
    """
    x0, y0, x1, y1 = box
    sx, sy = (x1 - x0) / width_px, (y1 - y0) / height_px
    upright = np.array([[sx, 0.0, x0 + sx / 2 - 0.5], [0.0, sy, y0 + sy / 2 - 0.5]])
    if roll == 0:
        return upright
    angle = math.radians(roll)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = np.array([x0 + x1 - 1, y0 + y1 - 1]) / 2
    rolled = turn @ upright
    rolled[:, 2] += centre - turn @ centre
    return rolled


def resized_crops(crops: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Crops of ``size_px``: uint8 [N, H, W, 3] -> [N, size_px, size_px, 3]; the input itself if it has this size.

    Each pixel is the mean over the area it covers (OpenCV's ``INTER_AREA``).
    """
    if crops.shape[1:3] == (size_px, size_px):
        return crops
    resized = np.empty((len(crops), size_px, size_px, 3), np.uint8)
    for index, crop in enumerate(crops):
        resized[index] = cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return resized


def reduced_to_place(crops: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Crops uint8 [N, S, S, 3] without the detail that their places ``boxes: float64 [N, 4]`` in an image cannot show.

    Crops of more than 96 px are resized to the largest place, but to 96 px at least. Pasted as they are, they would
    alias.
    """
    place_px = max(CROP_PX, math.ceil((boxes[:, 2:] - boxes[:, :2]).max(initial=0)))
    return resized_crops(crops, place_px) if crops.shape[1] > place_px else crops


def sharpness(crop_bgr: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the greyscale image, in squared grey levels; small values mean blur.

    Only images of the same size are comparable.
    """
    grey = cv2.cvtColor(crop_bgr, cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
