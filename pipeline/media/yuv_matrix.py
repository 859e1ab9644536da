"""Colours of single pixels: between BGR and Y, U and V in limited range (ITU-T H.273)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LUMA_LIMITS, CHROMA_LIMITS = (16, 235), (16, 240)
"""Smallest and largest value of Y, and of U and V, of colours that can be shown."""
_BT601, _BT709 = (0.299, 0.114), (0.2126, 0.0722)
"""Shares of red and blue in the luma."""


class YuvMatrix:
    """Converts pixels that have Y, U and V each, such as those of face crops."""

    def __init__(self, *, is_bt709: bool) -> None:
        red, blue = _BT709 if is_bt709 else _BT601
        luma = np.array([blue, 1 - red - blue, red])
        rows = [
            luma * (LUMA_LIMITS[1] - LUMA_LIMITS[0]),
            (np.array([1, 0, 0]) - luma) / (1 - blue) / 2 * (CHROMA_LIMITS[1] - CHROMA_LIMITS[0]),
            (np.array([0, 0, 1]) - luma) / (1 - red) / 2 * (CHROMA_LIMITS[1] - CHROMA_LIMITS[0]),
        ]
        forward, offset = np.array(rows) / 255, np.array([LUMA_LIMITS[0], 128.0, 128.0])
        backward = np.linalg.inv(forward)
        self._to_yuv = np.column_stack([forward, offset])
        self._to_bgr = np.column_stack([backward, -backward @ offset])

    def bgr(self, luma: NDArray[np.uint8], blue: NDArray[np.uint8], red: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Y, U and V, uint8 [H, W] each -> uint8 [H, W, 3] BGR."""
        yuv = cv2.merge([luma, blue, red]).astype(np.float32)
        bgr = cv2.transform(yuv, self._to_bgr)
        return np.asarray(cv2.convertScaleAbs(np.maximum(bgr, 0)), np.uint8)

    def yuv(self, bgr: NDArray[np.float32]) -> NDArray[np.float32]:
        """BGR in 0..255, float32 [H, W, 3] -> Y, U and V, float32 [H, W, 3], not rounded."""
        return np.asarray(cv2.transform(bgr, self._to_yuv), np.float32)
