"""Samples as integers and as floats."""

from __future__ import annotations

import numpy as np

from pipeline.features.samples import float_to_int16, int16_to_float


def test_int16_survives_the_way_through_float() -> None:
    values = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(float_to_int16(int16_to_float(values)), values)
    np.testing.assert_array_equal(float_to_int16(np.array([2.0, -2.0], np.float32)), [32767, -32768])
