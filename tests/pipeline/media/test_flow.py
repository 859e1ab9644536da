"""Motion of pictures that were moved by a known amount."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from pipeline.media.flow import backward_flows

SIDE, MARGIN = 96, 24
Shift = tuple[float, float]


def moving_texture(*shifts: Shift) -> NDArray[np.uint8]:
    """One soft texture seen moved right and down by each shift in turn: uint8 [N, 96, 96, 3]."""
    rough = gaussian_filter(np.random.default_rng(4).normal(size=(SIDE + 2 * MARGIN,) * 2), 2.0)
    grey = 255 * (rough - rough.min()) / np.ptp(rough)
    y, x = np.mgrid[0:SIDE, 0:SIDE] + MARGIN
    seen = [map_coordinates(grey, [y - down, x - right], order=3) for right, down in shifts]
    return np.repeat(np.clip(np.round(seen), 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize("step", [(0.0, 0.0), (0.5, -0.25), (-1.5, 0.75), (3.0, 2.0), (-6.0, 4.0)])
def test_a_shift_is_found_to_a_fraction_of_a_pixel(step: Shift) -> None:
    right, down = step
    flows, is_visible = backward_flows(moving_texture((0, 0), step, (2 * right, 2 * down)))
    assert flows.shape == (2, SIDE, SIDE, 2) and is_visible.shape == (2, SIDE, SIDE)
    inner = flows[:, 10:-10, 10:-10]
    assert np.abs(inner - np.array([-right, -down])).max() < 0.15  # back to where it came from
    assert is_visible[:, 10:-10, 10:-10].all()


def test_what_comes_into_the_picture_was_not_visible_before() -> None:
    _, (is_visible,) = backward_flows(moving_texture((0, 0), (5, 0)))
    assert not is_visible[10:-10, :4].any() and is_visible[10:-10, 8:].all()


def test_what_was_hidden_behind_something_else_is_not_visible() -> None:
    """A square goes eight pixels to the right and uncovers the background at its left edge."""
    frames = moving_texture((0, 0), (0, 0))
    for frame, left in zip(frames, (32, 40), strict=True):
        frame[32:64, left : left + 32] = moving_texture((11, 7))[0, :32, :32]
    _, (is_visible,) = backward_flows(frames)
    uncovered, unmoved = is_visible[36:60, 34:38], is_visible[:, 80:]
    assert uncovered.mean() < 0.2 and unmoved.mean() > 0.99


def test_flow_is_the_same_again_and_for_any_number_of_threads() -> None:
    frames = moving_texture((0, 0), (1.5, -0.5), (2.0, 1.0))
    before = cv2.getNumThreads()
    try:
        found = []
        for num in (1, 2, 5):
            cv2.setNumThreads(num)
            found.append(backward_flows(frames)[0])
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(flows, found[0]) for flows in found)
    assert np.array_equal(backward_flows(frames[1:])[0][0], found[0][1])  # whatever was looked at before


def test_one_frame_has_no_flow() -> None:
    flows, is_visible = backward_flows(moving_texture((0, 0)))
    assert flows.shape == (0, SIDE, SIDE, 2) and is_visible.shape == (0, SIDE, SIDE)
