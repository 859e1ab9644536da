from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.image import blur_xy, largest_around, to_lab


@pytest.mark.parametrize(
    ("bgr", "lab"), [([255, 255, 255], [100, 0, 0]), ([0, 0, 0], [0, 0, 0]), ([0, 0, 255], [53.2, 80.1, 67.2])]
)
def test_lab_of_white_black_and_red(bgr: list[int], lab: list[float]) -> None:
    image = np.full((2, 3, 3), bgr, np.uint8)
    np.testing.assert_allclose(to_lab(image), np.broadcast_to(lab, (2, 3, 3)), atol=0.2)


def test_a_blur_has_a_width_for_each_direction_and_keeps_the_mean() -> None:
    dot = np.zeros((41, 61), np.float32)
    dot[20, 30] = 1
    blurred = blur_xy(dot, 4, 2)
    y, x = np.mgrid[-20:21, -30:31]
    assert blurred.sum() == pytest.approx(1, abs=1e-3)
    assert (blurred * x**2).sum() ** 0.5 == pytest.approx(4, rel=0.03)
    assert (blurred * y**2).sum() ** 0.5 == pytest.approx(2, rel=0.03)


def test_the_largest_value_is_within_the_radius() -> None:
    dot = np.zeros((21, 21), np.float32)
    dot[10, 10] = 1
    y, x = np.mgrid[-10:11, -10:11]
    spread = largest_around(dot, 5)
    assert spread[10, 5] == spread[15, 10] == 1
    assert not spread[np.hypot(x, y) > 6].any() and spread[np.hypot(x, y) < 4].all()
