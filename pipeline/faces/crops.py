"""Square crop boxes around a face, and crops without jitter or aliasing.

A face is a row ``centre x, centre y, half-size`` of `pipeline.faces.smooth.smooth_faces`; a box is ``x0, y0, x1, y1``.
Both are in pixels.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_PX = 96
BORDER_VALUE = 110
"""Grey level outside the frame, as in syncnet_python."""
CHIN_MARGIN = 0.06
"""Share of the face box's height that the tight crop adds below the chin, to contain an open jaw."""
CONTEXT_MARGIN = 0.4


def crop_boxes(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tight boxes for the generator, forehead to chin: float64 [N, 3] -> [N, 4]. The mouth is in the lower half."""
    return _squares(faces, CHIN_MARGIN)


def context_boxes(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wide boxes for the sync evaluator (syncnet_python, crop scale 0.4): float64 [N, 3] -> [N, 4]."""
    return _squares(faces, CONTEXT_MARGIN)


def _squares(faces: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """The face's square extended by ``margin`` at the bottom and half of it at each side, relative to its size."""
    x, y, half = faces.T
    grown = half * (1 + margin)
    return np.column_stack([x - grown, y - half, x + grown, y - half + 2 * grown])


def boxes_within(boxes: NDArray[np.float64], outer: NDArray[np.float64], outer_px: int) -> NDArray[np.float64]:
    """``boxes`` in pixel coordinates of their ``outer`` squares resized to ``outer_px``: float64 [N, 4]."""
    scale = outer_px / (outer[:, 2:] - outer[:, :2])
    corners = [(boxes[:, k : k + 2] - outer[:, :2]) * scale for k in (0, 2)]
    return np.concatenate(corners, axis=1)


class Cropper:
    """Crops the square ``boxes: float64 [N, 4]`` from the frames of one clip, with sub-pixel accuracy, in any order.

    Each output pixel is the mean over the area it covers. Pixels outside the frame have grey level 110. All frames of a
    clip use one sampling density, which keeps the sharpness constant.
    """

    def __init__(self, boxes: NDArray[np.float64], size_px: int) -> None:
        self._boxes, self._size_px = boxes, size_px
        shrink = float(np.median(boxes[:, 2] - boxes[:, 0])) / size_px if len(boxes) else 1.0
        self._density = max(1, math.ceil(shrink - 0.1))

    def __call__(self, frame_bgr: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Crop of frame ``index``: uint8 [size_px, size_px, 3]."""
        num = self._size_px * self._density
        crop: Any = cv2.warpAffine(
            frame_bgr,
            crop_to_frame(self._boxes[index], num),
            (num, num),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(BORDER_VALUE,) * 3,
        )
        if self._density > 1:
            crop = cv2.resize(crop, (self._size_px, self._size_px), interpolation=cv2.INTER_AREA)
        return crop


def crop_to_frame(box: NDArray[np.float64], size_px: int) -> NDArray[np.float64]:
    """Affine map float64 [2, 3] from pixel indices of a crop with side ``size_px`` to pixel indices of the frame."""
    x0, y0, x1, y1 = box
    sx, sy = (x1 - x0) / size_px, (y1 - y0) / size_px
    return np.array([[sx, 0.0, x0 + sx / 2 - 0.5], [0.0, sy, y0 + sy / 2 - 0.5]])


def sharpness(crop_bgr: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the greyscale image, in squared grey levels; small values mean blur.

    Only images of the same size are comparable.
    """
    grey = cv2.cvtColor(crop_bgr, cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
