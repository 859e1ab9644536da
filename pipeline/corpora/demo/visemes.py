"""Mouth controls from phonemes: a target per phoneme, blended over time, with full lip closures.

Targets are blended by dominance (after Cohen and Massaro, "Modeling coarticulation in synthetic visual speech", 1993):
each phoneme has a weight per control, which is larger the more the control matters for that phoneme.
"""

# ruff: noqa: RUF001  (IPA letters)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.demo.portrait import MouthShape
from pipeline.corpora.demo.speech import Phone
from pipeline.features.alignment import FPS

VisemeTrack = NDArray[np.floating[Any]]

_STEP_S = 0.005
_LEAD_S = 0.018
"""Lips reach their target this long before the sound."""
_RAMP_S = 0.045
"""Time to close or open the lips around a closure."""
_BURST_LEAD_S = 0.060
"""Duration of a voiceless stop's closure. espeak-ng marks the stop at its burst, which follows the closure."""
_MIN_HOLD_S = 0.050
"""Shortest closure: longer than a frame at 25 fps, so every closure covers the middle of a frame."""
_SMOOTH_S = {"open": 0.026, "jaw": 0.045, "width": 0.048, "teeth": 0.024, "tongue": 0.022}


@dataclass(frozen=True)
class _Target:
    """A phoneme's target for the mouth controls. ``pull`` and ``width_pull`` are its weights against neighbours."""

    open: float
    width: float
    teeth: float = 0.0
    tongue: float = 0.0
    pull: float = 1.0
    width_pull: float = 1.0


_VOWELS = {
    "ɑ": _Target(1.00, -0.05), "a": _Target(0.92, 0.12), "æ": _Target(0.86, 0.40),
    "ʌ": _Target(0.68, 0.05), "ɐ": _Target(0.62, 0.05), "ɒ": _Target(0.74, -0.42),
    "ɔ": _Target(0.60, -0.70), "o": _Target(0.50, -0.85), "ə": _Target(0.42, 0.0, pull=0.7),
    "ɜ": _Target(0.46, -0.25), "ɚ": _Target(0.40, -0.35), "e": _Target(0.54, 0.45),
    "ɛ": _Target(0.62, 0.42), "ɪ": _Target(0.36, 0.45), "ᵻ": _Target(0.32, 0.40),
    "i": _Target(0.28, 0.85), "ʊ": _Target(0.32, -0.75), "u": _Target(0.24, -1.0),
    "ʉ": _Target(0.24, -0.9),
}  # fmt: skip
_TONGUE_TIP = _Target(0.20, 0.15, teeth=0.25, tongue=0.6, pull=0.8, width_pull=0.25)
_HISS = _Target(0.05, 0.35, teeth=0.95, pull=1.4, width_pull=0.7)
_HUSH = _Target(0.12, -0.65, teeth=0.95, pull=1.4, width_pull=1.5)
_THROAT = _Target(0.30, 0.0, pull=0.45, width_pull=0.15)
_LIPS = _Target(0.10, 0.05, pull=1.0, width_pull=0.3)
_CONSONANTS = {
    "p": _LIPS, "b": _LIPS, "m": _LIPS, "f": _LIPS, "v": _LIPS,
    "w": _Target(0.14, -1.0, pull=1.3, width_pull=2.0),
    "ʍ": _Target(0.14, -1.0, pull=1.3, width_pull=2.0),
    "ɹ": _Target(0.24, -0.50, pull=0.9, width_pull=0.8),
    "r": _Target(0.24, -0.30, tongue=0.3, pull=0.9, width_pull=0.6),
    "θ": _Target(0.22, 0.15, teeth=0.2, tongue=1.0, pull=1.3, width_pull=0.4),
    "ð": _Target(0.22, 0.15, teeth=0.2, tongue=1.0, pull=1.2, width_pull=0.4),
    "t": _TONGUE_TIP, "d": _TONGUE_TIP, "n": _TONGUE_TIP, "ɾ": _TONGUE_TIP,
    "l": _Target(0.32, 0.10, tongue=0.85, pull=0.9, width_pull=0.25),
    "s": _HISS, "z": _HISS, "ʃ": _HUSH, "ʒ": _HUSH, "ʧ": _HUSH, "ʤ": _HUSH,
    "k": _THROAT, "ɡ": _THROAT, "ŋ": _THROAT, "x": _THROAT, "h": _THROAT, "ʔ": _THROAT,
    "j": _Target(0.24, 0.70, pull=0.9, width_pull=1.0),
}  # fmt: skip
_PAUSE = _Target(0.02, 0.0, pull=0.8, width_pull=0.5)
_UNKNOWN = _Target(0.30, 0.0, pull=0.4, width_pull=0.2)
_CLOSED = frozenset("pbm")
_TUCKED = frozenset("fv")
_BURSTS = frozenset("ptkʧ")
_STRESS = {"ˈ": 1.0, "ˌ": 0.92, "": 0.80}


@dataclass(frozen=True)
class Gesture:
    """One articulation: a symbol of the tables ("" for a pause), its stress mark, start and end in seconds."""

    symbol: str
    stress: str
    start_s: float
    end_s: float


def gestures_of(phones: Sequence[Phone]) -> list[Gesture]:
    """Split phonemes into articulations: a diphthong into two vowels; a voiceless stop starts with its closure."""
    out: list[Gesture] = []
    for phone in phones:
        stress = next((c for c in phone.ipa if c in "ˈˌ"), "")
        name = phone.ipa.replace("tʃ", "ʧ").replace("dʒ", "ʤ")
        symbols = [c for c in name if c in _VOWELS or c in _CONSONANTS] or [""]
        span = phone.end_s - phone.start_s
        if phone.ipa and symbols == [""]:
            symbols = ["?"]
        shares = np.linspace(0.0, 1.0, len(symbols) + 1)
        if len(symbols) > 1:
            shares[1:-1] += 0.08  # the first vowel of a diphthong is longer
        for symbol, lo, hi in zip(symbols, shares[:-1], shares[1:], strict=True):
            start, end = phone.start_s + lo * span, phone.start_s + hi * span
            if symbol in _BURSTS and out:
                start = max(start - _BURST_LEAD_S, 0.5 * (out[-1].start_s + out[-1].end_s))
                out[-1] = Gesture(out[-1].symbol, out[-1].stress, out[-1].start_s, start)
            out.append(Gesture(symbol, stress, start, end))
    return out


def closures_of(phones: Sequence[Phone], symbols: frozenset[str] = _CLOSED) -> list[tuple[float, float]]:
    """Start and end, in seconds, of the closures of ``symbols``, by default p, b and m; each at least 50 ms."""
    spans = []
    for phone in phones:
        if not symbols & set(phone.ipa):
            continue
        if "p" in phone.ipa:
            start, end = phone.start_s - _BURST_LEAD_S + 0.005, phone.start_s + 0.008
        else:
            start, end = phone.start_s, phone.end_s - 0.008
        spans.append((min(start, end - _MIN_HOLD_S), end))
    return spans


def mouth_track(
    phones: Sequence[Phone], num_frames: int, fps: float = FPS, articulation: float = 1.0
) -> list[MouthShape]:
    """The mouth controls of every frame. Frame f is at time (f + 0.5) / fps.

    Every p, b and m has a frame with fully closed lips (``seal`` 1). ``articulation`` scales how far the mouth opens,
    about 0.85 to 1.1.
    """
    duration = num_frames / fps
    grid = np.arange(-0.2, duration + 0.2, _STEP_S)
    tracks = _blend(gestures_of(phones), grid)
    times = (np.arange(num_frames) + 0.5) / fps
    at = {name: np.interp(times + _LEAD_S, grid, track) for name, track in tracks.items()}
    seal = _hold(closures_of(phones), times)
    tuck = _hold(closures_of(phones, _TUCKED), times) * (1.0 - seal)
    opened = np.clip(at["open"] * articulation, 0.0, 1.0)
    jaw = np.clip(at["jaw"] * articulation, 0.0, 1.0) * (1.0 - 0.35 * seal)
    return [
        MouthShape(
            open=float(opened[i]),
            jaw=float(jaw[i]),
            width=float(np.clip(at["width"][i], -1.0, 1.0)),
            seal=float(seal[i]),
            tuck=float(tuck[i]),
            teeth=float(np.clip(at["teeth"][i], 0.0, 1.0)),
            tongue=float(np.clip(at["tongue"][i], 0.0, 1.0)),
        )
        for i in range(num_frames)
    ]


def _target_of(gesture: Gesture) -> _Target:
    if not gesture.symbol:
        return _PAUSE
    vowel = _VOWELS.get(gesture.symbol)
    if vowel is not None:
        strength = _STRESS[gesture.stress]
        return _Target(vowel.open * strength, vowel.width, pull=vowel.pull)
    return _CONSONANTS.get(gesture.symbol, _UNKNOWN)


def _blend(gestures: Sequence[Gesture], grid: VisemeTrack) -> dict[str, VisemeTrack]:
    """The dominance-weighted mean of the targets around each time, float64 [len(grid)] per control."""
    targets = [_PAUSE, *(_target_of(g) for g in gestures)]
    index = np.zeros(len(grid), np.int64)
    for i, gesture in enumerate(gestures, start=1):
        lo, hi = np.searchsorted(grid, [gesture.start_s, gesture.end_s])
        index[lo:hi] = i
    pull = np.array([t.pull for t in targets])[index]
    width_pull = np.array([t.width_pull for t in targets])[index]
    # Short pauses between words have a low weight: they do not close the mouth.
    pull = np.where(_short_pause(gestures, index), 0.15, pull)
    columns = {
        "open": (np.array([t.open for t in targets])[index], pull),
        "jaw": (np.array([t.open for t in targets])[index], pull),
        "width": (np.array([t.width for t in targets])[index], width_pull),
        "teeth": (np.array([t.teeth for t in targets])[index], np.ones(len(grid))),
        "tongue": (np.array([t.tongue for t in targets])[index], np.ones(len(grid))),
    }
    out: dict[str, VisemeTrack] = {}
    for name, (value, weight) in columns.items():
        kernel = _kernel(_SMOOTH_S[name])
        pulled = np.convolve(value * weight, kernel, mode="same")
        out[name] = pulled / np.convolve(weight, kernel, mode="same")
    return out


def _short_pause(gestures: Sequence[Gesture], index: NDArray[np.int64]) -> NDArray[np.bool_]:
    short = [False, *(not g.symbol and g.end_s - g.start_s < 0.06 for g in gestures)]
    return np.array(short)[index]


def _kernel(sigma_s: float) -> VisemeTrack:
    reach = int(3 * sigma_s / _STEP_S)
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) * _STEP_S / sigma_s))
    return kernel / kernel.sum()


def _hold(spans: Sequence[tuple[float, float]], times: VisemeTrack) -> VisemeTrack:
    """1 inside the spans with raised-cosine ramps around them, float64 [num_frames]."""
    held = np.zeros(len(times))
    for start, end in spans:
        away = np.maximum(np.maximum(start - times, times - end), 0.0)
        held = np.maximum(held, 0.5 + 0.5 * np.cos(np.pi * np.minimum(away / _RAMP_S, 1.0)))
    return held
