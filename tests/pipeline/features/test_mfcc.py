"""MFCC, against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

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
