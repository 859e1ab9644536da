"""Still pictures on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import atomic


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """``image: uint8 [H, W, 3]`` BGR."""
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape} as PNG")
    atomic.write_bytes(path, encoded.tobytes())


def blur(images: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Gaussian blur of ``float32 [N, H, W, 3]``; a sigma under a tenth of a pixel leaves them as they are."""
    if sigma_px < 0.1:
        return images
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma_px) for image in images])
