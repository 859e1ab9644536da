"""Images: writes PNG files, blurs, transforms and converts colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core import atomic


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write ``image: uint8 [H, W, 3]`` BGR atomically. Raises ValueError if it cannot be encoded."""
    done, encoded = cv2.imencode(".png", image)
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape} as PNG")
    atomic.write_bytes(path, encoded.tobytes())


Pixel = TypeVar("Pixel", np.uint8, np.float32)


def blur_each(images: NDArray[Pixel], sigma_px: float) -> NDArray[Pixel]:
    """Gaussian blur of ``[N, H, W, 3]``; a sigma below 0.1 px returns the input unchanged."""
    if sigma_px < 0.1:
        return images
    blurred: Any = [cv2.GaussianBlur(image, (0, 0), sigma_px) for image in images]
    return np.stack(blurred)


def blur_xy(image: NDArray[np.float32], sigma_x_px: float, sigma_y_px: float) -> NDArray[np.float32]:
    """Gaussian blur of ``[H, W, ...]`` with a standard deviation for each direction; mirrors the border."""
    blurred: Any = cv2.GaussianBlur(image, (0, 0), sigma_x_px, sigmaY=sigma_y_px, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred)


def largest_around(image: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    """The largest value of ``[H, W]`` in a disc around each pixel: float32 [H, W]."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
    largest: Any = cv2.dilate(image, disc)
    return np.asarray(largest)


def moved(
    images: NDArray[np.uint8], turn_degrees: float, growth: float, shift_px: tuple[float, float]
) -> NDArray[np.uint8]:
    """Rotate about the centre, scale, and shift right and down: ``uint8 [N, H, W, 3]`` -> same; replicates borders."""
    height, width = images.shape[1:3]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_degrees, growth)
    matrix[:, 2] += shift_px
    warped: Any = [cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE) for image in images]
    return np.stack(warped)


def to_lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIE Lab of an image: uint8 [H, W, 3] BGR -> float32 [H, W, 3], with L in 0..100."""
    lab: Any = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    return np.asarray(lab)


def sample_cubic(
    image: NDArray[np.uint8] | NDArray[np.float32], x: NDArray[np.floating], y: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Bicubic samples at pixel indices ``x, y: [H, W]``: [S, S, C] -> float32 [H, W, C], not clipped; C = 1 is dropped.

    Pixels outside the image repeat its edge.
    """
    sampled: Any = cv2.remap(
        image.astype(np.float32),
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(sampled)
