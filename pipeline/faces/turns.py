"""Roll of faces, quarter turns of faces on their side or upside down, and positions in a turned frame.

``turns`` are counter-clockwise quarter turns that make the face upright, 0..3, as for `numpy.rot90`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def rolls_of(landmarks: Float64) -> Float64:
    """Roll of faces with landmarks in the order of `Detection`: float64 [..., 5, 2] -> float64 [...], -180..180.

    Clockwise, in degrees. NaN gives NaN. YuNet's own landmarks show a small part of the roll; those of
    `AnyRollDetector` show all of it.
    """
    eye_l, eye_r, _, mouth_l, mouth_r = np.moveaxis(landmarks, -2, 0)
    down = (mouth_l + mouth_r - eye_l - eye_r) / 2  # also long in profile, where the eyes are close together
    across = eye_r - eye_l + mouth_r - mouth_l
    return np.degrees(np.arctan2(across[..., 1] - down[..., 0], across[..., 0] + down[..., 1]))


def turns_of(landmarks: Float64) -> NDArray[np.int64]:
    """Turns of faces with landmarks in the order of `Detection`: float64 [..., 5, 2] -> int64 [...].

    A face that is rolled by at most 45 degrees has 0. NaN gives 0.
    """
    return np.asarray(np.round(rolls_of(np.nan_to_num(landmarks)) / 90).astype(np.int64) % 4)


def turned_points(points: Float64, turns: int, size: tuple[int, int]) -> Float64:
    """Positions ``float64 [..., 2]`` of a frame of ``size`` (width, height), in the frame turned by `numpy.rot90`."""
    width, height = size
    for _ in range(turns % 4):
        points = np.stack([points[..., 1], width - points[..., 0]], axis=-1)
        width, height = height, width
    return points


def turned_boxes(boxes: Float64, turns: int, size: tuple[int, int]) -> Float64:
    """Like `turned_points`, for boxes ``float64 [..., 4]``."""
    corners = turned_points(boxes.reshape(*boxes.shape[:-1], 2, 2), turns, size)
    return np.concatenate([corners.min(axis=-2), corners.max(axis=-2)], axis=-1)
