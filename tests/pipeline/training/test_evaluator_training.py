"""The blur in the evaluator's training."""

from __future__ import annotations

import numpy as np

from pipeline.features.samples import float_to_int16
from pipeline.training.evaluator import MAX_SOFTNESS, change_timbre, soften_faces
from tests.support.sound import speech_like


def test_half_of_the_windows_are_blurred_with_constant_strength() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    windows = np.broadcast_to(noise, (40, 5, 64, 64, 3))
    softened = soften_faces(windows, np.random.default_rng(1))
    assert softened.shape == windows.shape
    assert softened.dtype == np.uint8
    assert (softened == softened[:, :1]).all()  # the same strength in each frame
    is_sharp = (softened == windows).all(axis=(1, 2, 3, 4))
    assert 12 <= is_sharp.sum() <= 28
    spread = softened[~is_sharp].std(axis=(1, 2, 3, 4)) / noise.std()
    assert spread.max() < 1
    assert spread.min() > 0.5 / (2 * np.sqrt(np.pi) * MAX_SOFTNESS * 64)  # white noise under the strongest blur, halved


def test_the_blur_depends_on_the_random_generator_only() -> None:
    windows = np.random.default_rng(0).integers(0, 256, (6, 5, 32, 32, 3), np.uint8)
    first, second = (soften_faces(windows, np.random.default_rng(3)) for _ in range(2))
    assert (first == second).all()


def test_another_timbre_has_the_timing_of_the_speech() -> None:
    samples = float_to_int16(speech_like(1.0))
    for seed in range(8):
        changed = change_timbre(samples, np.random.default_rng(seed))
        assert changed.dtype == np.int16 and changed.shape == samples.shape
        assert not np.array_equal(changed, samples)
        shifted = [np.dot(np.roll(samples, shift).astype(float), changed.astype(float)) for shift in range(-40, 41)]
        assert abs(int(np.argmax(shifted)) - 40) <= 1  # the filter delays by less than a sample
