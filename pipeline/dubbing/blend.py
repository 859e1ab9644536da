"""How much of each output frame's mouth is generated: less at the borders of segments and in silence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.option_values import InSilence
from pipeline.features.array_file import ArrayRows
from pipeline.features.speech_activity import ACTIVITY_RATE_HZ, speech_activity

RAMP_S = 0.12
"""Time over which the mouth changes between the source's and the generated one, s."""
LEAD_S = 0.08
"""Lips move before and after the sound by this, s."""

Shares = NDArray[np.float32]


def generated_shares(
    starts_s: NDArray[np.float64],
    fps: float,
    spans: Sequence[tuple[float, float]],
    audio: ArrayRows[np.int16],
    in_silence: InSilence,
) -> Shares:
    """Share of the generated mouth in each output frame, 0..1: float32 [K]. 0 leaves the frame as it is.

    ``starts_s: float64 [K]``: the frames' times in seconds, ``fps`` frames a second where the rate does not vary.
    ``spans``: the segments in seconds; none means the whole video. ``audio: int16 [n]`` at 16 kHz is what the lips
    follow, from the first frame on. With ``in_silence`` ``keep`` the share is 0 in its silence.
    """
    middles_s = starts_s + 0.5 / fps
    is_inside = np.full(len(starts_s), not spans)
    for start_s, end_s in spans:
        is_inside |= (middles_s >= start_s - 1e-9) & (middles_s < end_s - 1e-9)
    shares = np.clip(_distances(~is_inside) / (RAMP_S * fps + 1), 0, 1)
    if in_silence == "keep":
        shares = np.minimum(shares, _speech_shares(middles_s, audio))
    return np.where(is_inside, shares, 0).astype(np.float32)


def blend_frames(source: NDArray[np.uint8], dubbed: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """``share`` of ``dubbed`` and the rest of ``source``, both uint8 [H, W, 3]."""
    if share >= 1:
        return dubbed
    changed = np.flatnonzero((source != dubbed).any(axis=(1, 2)))
    if not len(changed):
        return dubbed
    rows = slice(changed[0], changed[-1] + 1)
    mixed = dubbed.copy()
    mixed[rows] = np.rint(share * dubbed[rows].astype(np.float32) + (1 - share) * source[rows]).astype(np.uint8)
    return mixed


def _speech_shares(middles_s: NDArray[np.float64], audio: ArrayRows[np.int16]) -> NDArray[np.float64]:
    """1 in frames with speech and ``LEAD_S`` around it, falling to 0 within ``RAMP_S``. Times are in seconds."""
    ticks = np.flatnonzero(speech_activity(audio))
    away_s = _distances_to(ticks, np.round(middles_s * ACTIVITY_RATE_HZ)) / ACTIVITY_RATE_HZ
    return np.asarray(np.clip(1 - (away_s - LEAD_S) / RAMP_S, 0, 1))


def _distances(is_marked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of each place to the nearest marked one; infinite if none is marked."""
    return _distances_to(np.flatnonzero(is_marked), np.arange(len(is_marked)))


def _distances_to(marks: NDArray[np.int64], places: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Distances of ``places`` to the nearest of the sorted ``marks``."""
    if not len(marks):
        return np.full(len(places), np.inf)
    after = np.searchsorted(marks, places)
    right = np.abs(marks[np.minimum(after, len(marks) - 1)] - places)
    left = np.abs(places - marks[np.maximum(after - 1, 0)])
    return np.asarray(np.minimum(left, right), np.float64)
