"""Similarity of generated images to known real ones: SSIM and PSNR.

Images are uint8 [N, H, W, 3].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

Images = NDArray[np.uint8]

SSIM_SIGMA, SSIM_REACH = 1.5, 5
"""Gaussian window of 11 x 11 (Wang et al. 2004)."""
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(real: Images, generated: Images) -> float:
    """Peak signal-to-noise ratio in dB, from the mean squared error over all images; infinite for equal images.

    Raises ValueError if the shapes differ.
    """
    _require_pairs(real, generated)
    error = float(np.mean(np.square(real.astype(np.float64) - generated)))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(real: Images, generated: Images) -> float:
    """Mean structural similarity (Wang et al. 2004, eq. 13) of the images in grey; 1 for equal images.

    As published: a Gaussian window of 11 x 11 with sigma 1.5, at the positions where it lies within the image. Raises
    ValueError if the shapes differ or the images are smaller than the window.
    """
    _require_pairs(real, generated)
    if min(real.shape[1:3]) <= 2 * SSIM_REACH:
        raise ValueError(f"SSIM needs images of at least {2 * SSIM_REACH + 1} px, got {real.shape[1:3]}")
    return float(np.mean([_ssim_of(one, other) for one, other in zip(_grey(real), _grey(generated), strict=True)]))


def _ssim_of(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    mean_1, mean_2 = _windowed(one), _windowed(other)
    variance_1 = _windowed(one * one) - mean_1**2
    variance_2 = _windowed(other * other) - mean_2**2
    covariance = _windowed(one * other) - mean_1 * mean_2
    likeness = (2 * mean_1 * mean_2 + _C1) * (2 * covariance + _C2)
    return float(np.mean(likeness / ((mean_1**2 + mean_2**2 + _C1) * (variance_1 + variance_2 + _C2))))


def _windowed(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean around every pixel whose window lies within the image."""
    steps = np.arange(-SSIM_REACH, SSIM_REACH + 1)
    weights = np.exp(-0.5 * (steps / SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    blurred = correlate1d(correlate1d(image, weights, axis=0), weights, axis=1)
    inner: NDArray[np.float64] = blurred[SSIM_REACH:-SSIM_REACH, SSIM_REACH:-SSIM_REACH]
    return inner


def _grey(images: Images) -> NDArray[np.float64]:
    """Luma of BGR images (ITU-R BT.601)."""
    grey: NDArray[np.float64] = images.astype(np.float64) @ np.array([0.114, 0.587, 0.299])
    return grey


def _require_pairs(real: NDArray[Any], generated: NDArray[Any]) -> None:
    if real.shape != generated.shape or real.ndim != 4 or real.shape[3] != 3 or not len(real):
        raise ValueError(f"images must be uint8 [N, H, W, 3] of equal shape, got {real.shape} and {generated.shape}")
