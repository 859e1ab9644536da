"""Jitter of pictures whose second differences are known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics import ClipTooShortError
from pipeline.metrics.temporal import mouth_jitter, mouth_motion


def flat(values: list[int]) -> np.ndarray:
    """One uniform 6x6 picture per value."""
    return np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 6, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7] * 5, 0.0),
        ([0, 20, 40, 60], 0.0),  # even change
        ([0, 1, 4, 9, 16], 2.0),  # constant acceleration
        ([10, 30, 10, 30, 10], 40.0),  # flicker
        ([0, 255, 0], 510.0),  # no wrap-around in uint8
    ],
)
def test_jitter_is_the_mean_second_difference(values: list[int], expected: float) -> None:
    assert mouth_jitter(flat(values)) == pytest.approx(expected)


def test_only_the_lower_half_counts() -> None:
    frames = flat([50] * 4)
    frames[1, :3] = 200
    assert mouth_jitter(frames) == 0.0
    frames[1, 3:] = 53
    assert mouth_jitter(frames) == pytest.approx((6 + 3) / 2)


def test_a_clip_without_second_differences_is_refused() -> None:
    with pytest.raises(ClipTooShortError, match="has 2"):
        mouth_jitter(flat([1, 2]))


def test_motion_is_the_mean_step_of_the_lower_half() -> None:
    frames = np.zeros((4, 10, 6, 3), np.uint8)
    frames[:, 5:] = np.array([0, 10, 5, 5], np.uint8)[:, None, None, None]
    frames[2, :5] = 200  # the upper half does not count
    assert mouth_motion(frames) == pytest.approx((10 + 5 + 0) / 3)
    with pytest.raises(ClipTooShortError):
        mouth_motion(frames[:1])
