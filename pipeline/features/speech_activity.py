"""Where a recording contains speech, from its loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.features.array_file import ArrayRows, in_blocks

ACTIVITY_RATE_HZ = 100
_STEP_SAMPLES = SAMPLE_RATE_HZ // ACTIVITY_RATE_HZ
_ABOVE_FLOOR_DB = 12.0
"""Speech is louder than the background by this."""
_BELOW_LOUD_DB = 30.0
"""Speech is at most this much quieter than the loud parts. Between words a clean recording has no background."""
_QUIETEST_DB = -55.0
"""Level in dB of full scale below which nothing counts as speech."""
_BLOCK_STEPS = 1 << 12
"""Steps that are computed at once; bounds the memory for long audio."""
_SHORTEST_SPEECH, _SHORTEST_SILENCE = 8, 30
"""Steps. Shorter sounds are clicks; shorter silences belong to words and their pauses."""


def speech_activity(samples: ArrayRows[np.int16]) -> NDArray[np.bool_]:
    """Whether each 10 ms of 16 kHz mono ``int16 [n]`` contain speech: bool [ceil(n / 160)].

    The detector measures loudness alone: music and noise as loud as the voice count as speech.
    """
    level = _levels_db(samples)
    if not len(level):
        return np.zeros(0, bool)
    floor, loud = np.percentile(level, (10, 95))
    threshold = max(min(floor + _ABOVE_FLOOR_DB, loud - 6.0), loud - _BELOW_LOUD_DB, _QUIETEST_DB)
    is_loud = level > threshold
    return _without_short(_without_short(is_loud, True, _SHORTEST_SPEECH), False, _SHORTEST_SILENCE)


def _levels_db(samples: ArrayRows[np.int16]) -> NDArray[np.float64]:
    """Mean level of each step and its neighbours in dB of full scale: float64 [ceil(n / 160)]."""
    power = np.concatenate([np.zeros(0), *map(_powers, in_blocks(samples, size=_BLOCK_STEPS * _STEP_SAMPLES))])
    smooth = np.convolve(np.pad(power, 1, mode="edge"), np.ones(3) / 3, mode="valid") if len(power) else power
    return np.asarray(10 * np.log10(np.maximum(smooth, 1e-10)))


def _powers(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Mean power of each step: float64 [ceil(n / 160)]."""
    padded = np.pad(samples, (0, -len(samples) % _STEP_SAMPLES)).reshape(-1, _STEP_SAMPLES)
    return np.asarray(np.square(padded.astype(np.float32) / 32768).mean(axis=1, dtype=np.float64))


def _without_short(flags: NDArray[np.bool_], value: bool, shortest: int) -> NDArray[np.bool_]:
    """The flags with runs of ``value`` that are shorter than ``shortest`` inverted."""
    edges = np.flatnonzero(np.diff(flags)) + 1
    result = flags.copy()
    for start, stop in zip([0, *edges], [*edges, len(flags)], strict=True):
        if flags[start] == value and stop - start < shortest:
            result[start:stop] = not value
    return result
