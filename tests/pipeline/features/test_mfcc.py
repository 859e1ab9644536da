"""MFCC, against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.features.mfcc import mfcc
from pipeline.features.samples import float_to_int16
from tests.support.definitions import mfcc_by_the_book
from tests.support.sound import speech_like


@pytest.mark.parametrize("num", [1, 399, 400, 401, 560, 561, 1500])
def test_mfcc_equals_its_definition(num: int) -> None:
    samples = float_to_int16(speech_like(0.2))[:num]
    np.testing.assert_allclose(mfcc(samples), mfcc_by_the_book(samples), rtol=1e-4, atol=1e-4)


def test_mfcc_of_silence_is_the_floor() -> None:
    cepstra = mfcc(np.zeros(48_000, np.int16))
    assert cepstra.shape == (299, 13)
    np.testing.assert_allclose(cepstra[:, 0], math.log(np.finfo(float).eps), rtol=1e-5)
    np.testing.assert_allclose(cepstra[:, 1:], 0.0, atol=1e-3)


def test_mfcc_refuses_floats() -> None:
    with pytest.raises(ValueError, match="int16"):
        mfcc(np.zeros(1000, np.float32))


def test_mfcc_of_a_long_sound_is_computed_in_pieces_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = float_to_int16(speech_like(2.0))
    whole = mfcc(samples)
    monkeypatch.setattr("pipeline.features.samples._ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(mfcc(samples), whole, atol=1e-4)


def test_a_warp_moves_a_tone_to_the_filter_of_the_warped_frequency() -> None:
    """A tone at 1 kHz under filters at 1.1 times their frequency looks like a tone at 1 / 1.1 kHz."""

    def tone(hz: float) -> NDArray[np.int16]:
        return np.round(8000 * np.sin(2 * np.pi * hz * np.arange(4000) / 16_000)).astype(np.int16)

    warped, same, plain = mfcc(tone(1100.0), 1.1), mfcc(tone(1000.0)), mfcc(tone(1100.0))
    of = slice(2, 6)  # coefficients of the coarse spectrum
    assert np.abs(warped - same)[:, of].mean() < 0.4 * np.abs(plain - same)[:, of].mean()


@pytest.mark.parametrize("warp", [0.86, 0.9, 1.1, 1.16])
def test_no_warp_leaves_a_filter_without_width(warp: float) -> None:
    noise = np.random.default_rng(0).integers(-8000, 8000, 16_000, dtype=np.int16)
    assert np.abs(mfcc(noise, warp)).max() < 2 * np.abs(mfcc(noise)).max()
