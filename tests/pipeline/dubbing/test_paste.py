"""The mouth is placed to a fraction of a pixel, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dubbing.paste import mouth_mask, paste_mouth
from pipeline.faces.roll import rotated
from tests.support.media_readers import crop_frames

PLAIN = np.zeros(3, np.float32)
RANDOM = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("box", [[30.3, 20.7, 90.1, 80.5], [-20.0, -5.5, 60.5, 75.0], [90.0, 20.0, 150.0, 80.0]])
def test_only_the_lower_half_of_the_box_changes(box):
    frame = noise(96, 128, 3)
    before = frame.copy()
    pasted = paste_mouth(frame, noise(96, 96, 3), np.array(box), PLAIN)
    y, x = np.mgrid[:96, :128] + 0.5
    outside = (x < box[0]) | (x > box[2]) | (y < (box[1] + box[3]) / 2) | (y > box[3])
    np.testing.assert_array_equal(pasted[outside], before[outside])
    np.testing.assert_array_equal(frame, before)
    assert (pasted[~outside] != before[~outside]).any()


def test_a_box_outside_the_frame_changes_nothing():
    frame = noise(96, 128, 3)
    for box in ([200.0, 10, 260, 70], [10.0, -90, 70, -30], [10.0, 60, 140, 190]):
        np.testing.assert_array_equal(paste_mouth(frame, noise(96, 96, 3), np.array(box), PLAIN), frame)


def test_the_tint_is_added_to_the_mouth_within_the_range_of_colours():
    frame = np.full((200, 200, 3), 200, np.uint8)
    pasted = paste_mouth(frame, frame[:96, :96], np.array([20.0, 20, 180, 180]), np.array([-8, 0, 70], np.float32))
    np.testing.assert_array_equal(pasted[140, 100], [192, 200, 255])
    np.testing.assert_array_equal(pasted[:100], frame[:100])


def test_pixels_land_where_the_crop_says():
    """A ramp along u, in the middle of a crop as black as the frame, shows at every column the u of its centre."""
    u = (np.arange(96) + 0.5) / 96
    ramp = np.repeat(np.repeat(np.where(abs(u - 0.5) < 0.15, 255 * u, 0)[None, :, None], 96, axis=0), 3, axis=2)
    frame = np.zeros((240, 240, 3), np.uint8)
    x0, y0, side = 10.37, 15.81, 201.3
    pasted = paste_mouth(frame, ramp.round().astype(np.uint8), np.array([x0, y0, x0 + side, y0 + side]), PLAIN)
    columns = np.arange(90, 130)
    expected = 255 * (columns + 0.5 - x0) / side
    row = round(y0 + 0.75 * side)
    np.testing.assert_allclose(pasted[row, columns, 0], expected, atol=1.0)


def test_pasting_its_own_crop_back_changes_little():
    y, x = np.mgrid[:96, :128]
    frame = np.stack([127 + 100 * np.sin(x / 12 + k) * np.cos(y / 15) for k in range(3)], axis=-1).astype(np.uint8)
    box = np.array([20.4, 10.2, 91.9, 81.7])
    crop = crop_frames(frame[None], box[None], 96)[0]
    difference = np.abs(paste_mouth(frame, crop, box, PLAIN).astype(int) - frame)
    assert difference.max() <= 4


def test_fine_texture_survives_enlarging():
    """A wave of 5 crop pixels, enlarged twice, keeps its height; bilinear samples lose up to 11 grey levels."""
    x = (np.arange(400) + 0.5) / 400 * 96
    wave = 128 + 60 * np.sin(2 * np.pi * (np.arange(96) + 0.5) / 5)
    drawn = np.tile(wave.round().astype(np.uint8)[None, :, None], (96, 1, 3))
    frame = np.tile((128 + 60 * np.sin(2 * np.pi * x / 5)).round().astype(np.uint8)[None, :, None], (400, 1, 3))
    middle = np.s_[300, 120:280, 0]
    pasted = paste_mouth(frame, drawn, np.array([0.0, 0, 400, 400]), PLAIN)
    assert np.abs(pasted[middle].astype(int) - frame[middle]).max() < 5


@pytest.mark.parametrize("side", [40.0, 96.0, 333.3])
def test_an_even_colour_stays_even_up_to_the_border(side):
    frame = np.full((340, 340, 3), 77, np.uint8)
    drawn = np.full((96, 96, 3), 77, np.uint8)
    box = np.array([2.2, 3.4, 2.2 + side, 3.4 + side])
    np.testing.assert_array_equal(paste_mouth(frame, drawn, box, PLAIN), frame)


def test_mask_is_symmetric_smooth_and_between_zero_and_one():
    u, v = np.linspace(0, 1, 101), np.linspace(0, 1, 101)
    mask = mouth_mask(u, v)
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-6)
    assert mask[75, 50] == 1
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.2
    assert mask.min() == 0 and mask.max() == 1
    assert (mask[:51] == 0).all() and (mask[100] == 0).all() and (mask[:, :10] == 0).all()


@pytest.mark.parametrize("roll", [90.0, 180.0, -90.0])
def test_a_rolled_paste_is_the_upright_paste_of_the_turned_frame(roll):
    frame, generated = noise(120, 120, 3), noise(96, 96, 3)
    box = np.array([20.3, 24.1, 80.9, 90.2])
    turns = round(roll / 90)  # clockwise
    expected = np.rot90(paste_mouth(frame, generated, box, PLAIN), -turns).astype(int)
    centre = rotated((box[:2] + box[2:]) / 2, np.array([60.0, 60]), roll)
    half = (box[2:] - box[:2]) / 2
    there = np.concatenate([centre - half, centre + half])
    shown = paste_mouth(np.ascontiguousarray(np.rot90(frame, -turns)), generated, there, PLAIN, roll).astype(int)
    assert np.abs(shown - expected).max() <= 10  # of noise, as OpenCV rounds positions to a 32nd of a pixel
    assert (shown != np.rot90(frame, -turns)).any()


def test_only_the_lower_half_of_a_rolled_box_changes():
    frame = noise(160, 160, 3)
    box, roll = np.array([50.0, 40, 110, 100]), 30.0
    pasted = paste_mouth(frame, noise(96, 96, 3), box, PLAIN, roll)
    y, x = np.mgrid[:160, :160] + 0.5
    upright = rotated(np.stack([x, y], axis=-1), np.array([80.0, 70]), -roll)
    outside = (upright[..., 0] < 50) | (upright[..., 0] > 110) | (upright[..., 1] < 70) | (upright[..., 1] > 100)
    np.testing.assert_array_equal(pasted[outside], frame[outside])
    assert (pasted[~outside] != frame[~outside]).any()


@pytest.mark.parametrize("roll", [0.0, 20.0])
def test_a_larger_crop_than_its_place_does_not_alias(roll: float) -> None:
    """A pattern of single pixels becomes grey."""
    pattern = np.broadcast_to((np.indices((192, 192)).sum(axis=0) % 2 * 255)[:, :, None], (192, 192, 3))
    pasted = paste_mouth(
        np.full((160, 160, 3), 127, np.uint8),
        pattern.astype(np.uint8),
        np.array([32.0, 32, 128, 128]),
        np.zeros(3, np.float32),
        roll,
    )
    assert np.abs(pasted.astype(int) - 127).max() <= 1
