"""The tint is that of the skin, whatever is around it, and steady in time."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dubbing.tint import SkinTint, pixels_inside, skin_difference

SKIN, LIPS, BLUE, HAIR = [120, 150, 200], [90, 80, 170], [190, 120, 20], [30, 40, 50]
EVERYWHERE = np.ones((96, 96), bool)
CAST = np.array([12, -9, -20])
RANDOM = np.random.default_rng(0)


def a_face(background: list[int], half_width: float = 0.26, cast: object = 0, lips_rows: int = 6) -> np.ndarray:
    """A face whose skin is ``half_width`` of the crop at each side, with shading and noise: uint8 [96, 96, 3]."""
    y, x = np.mgrid[:96, :96] / 96 + 0.5 / 96
    image = np.empty((96, 96, 3))
    image[:] = np.array(SKIN) + cast
    image[71 - lips_rows : 71 + lips_rows, 36:60] = LIPS
    image *= (1 - 0.25 * (y - 0.5))[..., None]
    image[((x - 0.5) / half_width) ** 2 + ((y - 0.5) / 0.5) ** 2 > 1] = background
    return np.clip(image + RANDOM.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("half_width", [0.24, 0.34, 0.5])
@pytest.mark.parametrize("background", [BLUE, HAIR, SKIN])
@pytest.mark.parametrize("drawn", [BLUE, HAIR, [60, 60, 220]])
@pytest.mark.parametrize("cast", [np.zeros(3), CAST, -CAST])
def test_the_tint_is_that_of_the_skin_whatever_the_background(
    half_width: float, background: list[int], drawn: list[int], cast: np.ndarray
) -> None:
    shown, generated = a_face(background, half_width), a_face(drawn, half_width, cast, lips_rows=10)
    tint, num_px = skin_difference(shown, generated, EVERYWHERE)
    assert tint == pytest.approx(-cast, abs=3)
    assert num_px > 200


def test_the_tint_never_enlarges_the_difference_of_the_skin() -> None:
    for _ in range(20):
        shown, generated = a_face(BLUE), a_face(HAIR, 0.26 * RANDOM.uniform(0.7, 1.2), RANDOM.normal(0, 15, 3))
        tint, _ = skin_difference(shown, generated, EVERYWHERE)
        skin = np.s_[56:64, 38:58]  # between nose and mouth
        apart = shown[skin].astype(float).mean(axis=(0, 1)) - generated[skin].astype(float).mean(axis=(0, 1))
        assert np.linalg.norm(apart - tint) <= np.linalg.norm(apart) + 1


def test_a_face_that_leaves_the_frame_keeps_its_tint() -> None:
    tint_of = SkinTint(25.0)
    shown, generated = a_face(BLUE), a_face([60, 60, 220], cast=CAST)
    np.testing.assert_allclose(tint_of(shown, generated, EVERYWHERE, True), -CAST, atol=3)
    for right in (60, 40, 25, 10, 0):
        inside = pixels_inside(np.array([0.0, 0, 96, 96]), 96, right, 96)
        np.testing.assert_allclose(tint_of(shown, generated, inside, False), -CAST, atol=3)


def test_without_skin_there_is_no_tint() -> None:
    tint = SkinTint(25.0)(a_face(BLUE), a_face(HAIR, cast=CAST), np.zeros((96, 96), bool), True)
    np.testing.assert_array_equal(tint, np.zeros(3))


def test_the_tint_is_averaged_over_a_shot_and_not_over_a_cut() -> None:
    face = np.full((96, 96, 3), 120, np.uint8)
    steady = SkinTint(25.0)
    tints = np.array([steady(face, face + np.uint8(4 * (k % 2)), EVERYWHERE, k == 0) for k in range(20)])
    assert np.abs(np.diff(tints[10:], axis=0)).max() < 1
    assert tints[10:].mean() == pytest.approx(-2, abs=0.2)
    np.testing.assert_array_equal(steady(face, face - np.uint8(8), EVERYWHERE, True), np.full(3, 8))


def test_pixels_of_a_crop_outside_the_frame() -> None:
    inside = pixels_inside(np.array([-24.0, 0, 72, 192]), 96, 200, 96)
    np.testing.assert_array_equal(inside.any(axis=0), np.arange(96) >= 24)
    np.testing.assert_array_equal(inside.any(axis=1), np.arange(96) < 48)
