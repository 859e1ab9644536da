from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.image import to_lab


@pytest.mark.parametrize(
    ("bgr", "lab"), [([255, 255, 255], [100, 0, 0]), ([0, 0, 0], [0, 0, 0]), ([0, 0, 255], [53.2, 80.1, 67.2])]
)
def test_lab_of_white_black_and_red(bgr: list[int], lab: list[float]) -> None:
    image = np.full((2, 3, 3), bgr, np.uint8)
    np.testing.assert_allclose(to_lab(image), np.broadcast_to(lab, (2, 3, 3)), atol=0.2)
