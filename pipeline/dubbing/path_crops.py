"""Crops of the followed faces of a video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.face_path import Followed
from pipeline.faces.crops import Cropper


class PathCropper:
    """Crops the faces of ``followed`` at ``size_px``.

    Each face path has a sampling density of its own: with one density for a near and a distant face, the crops of the
    near one would have aliases, or those of the distant one would be blurred.
    """

    def __init__(self, followed: Followed, size_px: int) -> None:
        has_face = np.isfinite(followed.boxes[:, 0])
        self._paths = np.zeros(len(has_face), np.int64) if followed.paths is None else followed.paths
        self._places = np.zeros(len(has_face), np.int64)
        self._croppers: dict[int, Cropper] = {}
        for path in np.unique(self._paths[has_face]).tolist():
            frames = np.flatnonzero(has_face & (self._paths == path))
            self._places[frames] = np.arange(len(frames))
            self._croppers[path] = Cropper(followed.boxes[frames], size_px, rolls=followed.rolls[frames])

    def __call__(self, frame: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """The crop of frame ``index``, ``uint8 [H, W, 3]``, which must show a face: uint8 [size_px, size_px, 3]."""
        return self._croppers[int(self._paths[index])](frame, int(self._places[index]))
