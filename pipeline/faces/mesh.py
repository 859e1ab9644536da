"""The 468 landmarks of MediaPipe's face mesh in the images of one clip.

The network (Kartynnik et al. 2019, Apache 2.0) is a TFLite file, which OpenCV runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.features.mesh_landmarks import OUTER_EYE_CORNERS

NUM_LANDMARKS = 468
INPUT_PX = 192
REGION_SCALE = 1.5
"""Side of the square that the network reads, relative to the longer side of the landmarks, as in MediaPipe."""
NUM_PLACED = 5
"""Number of images, spread over the clip, that place the square."""
MIN_PRESENCE = 0.0
"""Lowest logit of an image with a face."""
_OUTPUTS = ("conv2d_30", "conv2d_20")
"""Presence of a face (logit), and landmarks."""

Images = NDArray[np.uint8]


class FaceMesh:
    """The network, loaded from its TFLite file. Raises DataError if OpenCV cannot read the file."""

    def __init__(self, weights: Path) -> None:
        try:
            self._net = cv2.dnn.readNetFromTFLite(str(weights))
        except cv2.error as error:
            raise DataError(f"{weights} is not a network that OpenCV {cv2.__version__} can run: {error}") from None

    def landmarks(self, images: Images) -> NDArray[np.float64]:
        """Landmarks of the face in each image of a clip: uint8 [N, P, P, 3], BGR -> float64 [N, 468, 3].

        x, y and depth are in pixels of the images, relative to the centre of a square that is the same for the whole
        clip. Its x axis is parallel to the line through the eyes. Rows of images without a face are NaN. The images are
        those of a face track, such as context crops: the face keeps its place and fills most of them.
        """
        found = np.full((len(images), NUM_LANDMARKS, 3), np.nan)
        if not len(images):
            return found
        to_image = self._region(images)
        scale = float(np.hypot(*to_image[:, 0]))
        for index, image in enumerate(images):
            inside = cv2.warpAffine(
                image,
                to_image,
                (INPUT_PX, INPUT_PX),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            presence, landmarks = self._run(inside)
            if presence >= MIN_PRESENCE:
                found[index] = (landmarks - (INPUT_PX / 2, INPUT_PX / 2, 0.0)) * scale
        return found

    def _region(self, images: Images) -> NDArray[np.float64]:
        """Affine map float64 [2, 3] from the network's pixels to those of the images."""
        placed = np.linspace(0, len(images) - 1, NUM_PLACED).round().astype(int)
        scale = images.shape[1] / INPUT_PX
        whole = [self._run(images[index])[1][:, :2] * scale for index in np.unique(placed)]
        return region_around(np.median(whole, axis=0))

    def _run(self, image: Any) -> tuple[float, NDArray[np.float64]]:
        size = (INPUT_PX, INPUT_PX)
        self._net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, size, swapRB=True))
        presence, landmarks = self._net.forward(_OUTPUTS)
        return float(presence.ravel()[0]), landmarks.reshape(NUM_LANDMARKS, 3).astype(np.float64)


def region_around(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine map float64 [2, 3] from pixels of the network's input to those of an image.

    The input shows the square around ``landmarks: float64 [468, 2]`` with a margin, upright by the eyes.
    """
    left, right = landmarks[list(OUTER_EYE_CORNERS)]
    across = (right - left) / max(float(np.linalg.norm(right - left)), 1e-9)
    axes = np.array([across, (-across[1], across[0])])
    turned = landmarks @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = (low + high) / 2 @ axes
    linear = axes.T * (REGION_SCALE * float((high - low).max()) / INPUT_PX)
    return np.column_stack([linear, centre - linear @ np.full(2, (INPUT_PX - 1) / 2)])


def share_with_face(landmarks: Iterable[NDArray[np.float64]]) -> float:
    """Share of the images that show a face, for landmarks as from `FaceMesh.landmarks`; 0 without images."""
    is_seen = [bool(np.isfinite(points).all()) for points in landmarks]
    return float(np.mean(is_seen)) if is_seen else 0.0
