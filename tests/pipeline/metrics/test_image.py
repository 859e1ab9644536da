"""PSNR and SSIM against their definitions in plain loops, and known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.metrics.image import psnr, ssim


def pictures(seed: int, num: int = 2, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, size, size, 3)).astype(np.uint8)


def slow_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Wang et al. 2004, eq. 13, window by window."""
    weights = np.array([[math.exp(-(y * y + x * x) / 4.5) for x in range(-5, 6)] for y in range(-5, 6)])
    weights /= weights.sum()
    grey = [image @ np.array([0.114, 0.587, 0.299]) for image in (one.astype(float), other.astype(float))]
    values = []
    for top in range(one.shape[0] - 10):
        for left in range(one.shape[1] - 10):
            a, b = (image[top : top + 11, left : left + 11] for image in grey)
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            cov = (weights * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append(
                (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return float(np.mean(values))


def test_ssim_is_what_the_definition_says() -> None:
    real, drawn = pictures(0), np.clip(pictures(0).astype(int) + pictures(1) // 4 - 30, 0, 255).astype(np.uint8)
    expected = np.mean([slow_ssim(one, other) for one, other in zip(real, drawn, strict=True)])
    assert ssim(real, drawn) == pytest.approx(expected, abs=1e-9)
    assert 0.3 < ssim(real, drawn) < 1


def test_equal_pictures() -> None:
    assert ssim(pictures(0), pictures(0)) == pytest.approx(1)
    assert psnr(pictures(0), pictures(0)) == math.inf


def test_psnr_of_a_known_error() -> None:
    real = np.full((1, 16, 16, 3), 100, np.uint8)
    assert psnr(real, real + 10) == pytest.approx(20 * math.log10(25.5))
    assert psnr(real + 10, real) == psnr(real, real + 10)  # 8-bit numbers do not wrap


def test_pictures_that_are_no_pairs_are_refused() -> None:
    for function in (psnr, ssim):
        with pytest.raises(ValueError, match=r"of equal shape, got \(2, 16, 16, 3\) and \(1, 16, 16, 3\)"):
            function(pictures(0), pictures(0, num=1))
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim(pictures(0, size=8), pictures(0, size=8))
