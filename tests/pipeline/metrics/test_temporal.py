"""Jitter, motion and warping error of pictures whose differences are known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.metrics import ClipTooShortError
from pipeline.metrics.temporal import mouth_jitter, mouth_motion, warping_error


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


def texture(x_shift: float, y_shift: float) -> np.ndarray:
    """A picture without repetition, float64 [16, 24, 2], that is linear between pixels, moved right and down."""
    y, x = np.mgrid[0:16, 0:24]
    x, y = x - x_shift, y - y_shift
    return np.stack([3 * x + 5 * y + 40, 200 - 2 * x - y + 0.5 * x * y], axis=-1)


def test_a_texture_that_moves_as_the_flow_says_has_no_warping_error() -> None:
    frames = np.stack([texture(2.5 * k, -1.25 * k) for k in range(4)])
    flows = np.broadcast_to([-2.5, 1.25], (3, 16, 24, 2))
    is_visible = np.zeros((3, 16, 24), bool)
    is_visible[:, :14, 3:] = True  # beyond, the flow leaves the picture
    assert warping_error(frames, flows, is_visible) == pytest.approx(0, abs=1e-9)
    frames[2] += 9  # against the frame before it and the frame after it
    assert warping_error(frames, flows, is_visible) == pytest.approx((0 + 9 + 9) / 3)
    assert warping_error(frames, -flows, is_visible) > 5


def test_along_no_flow_the_warping_error_is_the_motion_of_the_mouth() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 10, 6, 3), np.uint8)
    flows, seen = np.zeros((3, 10, 6, 2), np.float32), np.ones((3, 10, 6), bool)
    assert warping_error(frames, flows, seen) == pytest.approx(mouth_motion(frames))
    frames[:, :5] = 0  # the upper half does not count
    assert warping_error(frames, flows, seen) == pytest.approx(mouth_motion(frames))


def test_pixels_that_could_not_be_seen_before_do_not_count() -> None:
    frames, flows = flat([10, 14, 14]), np.zeros((2, 6, 6, 2))
    frames[1, 4] = 255
    is_visible = np.ones((2, 6, 6), bool)
    is_visible[:, 4] = False
    is_visible[1, 3:, :3] = False  # pixels count alike, not pairs of frames: 12 with 4 levels, 6 with none
    assert warping_error(frames, flows, is_visible) == pytest.approx(4 * 12 / 18)
    with pytest.raises(DataError, match="no pixel of the lower half"):
        warping_error(frames, flows, np.zeros((2, 6, 6), bool))
    with pytest.raises(ClipTooShortError, match="has 1"):
        warping_error(frames[:1], flows[:0], is_visible[:0])
