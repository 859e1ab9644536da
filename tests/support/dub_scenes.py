"""Images and a scripted face detector for tests of dubbing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.detector import Detection

WIDTH, HEIGHT = 128, 96


LANDMARKS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
"""Positions of eyes, nose and mouth corners relative to a face's box: [5, 2], x and y."""


def face_in(box: NDArray[np.float64]) -> Detection:
    return Detection(box, box[:2] + LANDMARKS * (box[2:] - box[:2]), 0.9)


class ScriptedDetector:
    """Returns the boxes that ``script`` lists for the k-th call, or ``every`` for all calls."""

    def __init__(self, script: Mapping[int, list[list[float]]] | None = None, every: list[list[float]] | None = None):
        self._script = script
        self._every = every or []
        self.calls = 0

    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        boxes = self._every if self._script is None else self._script.get(self.calls, [])
        self.calls += 1
        return [face_in(np.array(box, float)) for box in boxes]


def picture(index: int) -> NDArray[np.uint8]:
    """A smooth image that differs for every index: uint8 [96, 128, 3]."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    waves = [np.sin(x / 9 + index / 5), np.cos(y / 7 - index / 3), np.sin((x + y) / 11 + index)]
    return (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)
