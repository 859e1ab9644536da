"""Motion of the rendered head: slow drift, nods on stressed syllables, blinks, gaze shifts."""

# ruff: noqa: RUF001  (IPA letters)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.demo.portrait import HeadPose
from pipeline.corpora.demo.speech import Phone
from pipeline.features.alignment import FPS

MotionTrack = NDArray[np.floating[Any]]

_BLINK_S = 0.22


def head_track(
    rng: np.random.Generator, phones: Sequence[Phone], num_frames: int, fps: float = FPS, motion: float = 1.0
) -> list[HeadPose]:
    """The pose of every frame. Frame f is at time (f + 0.5) / fps. Draws from ``rng`` only.

    ``motion``: factor of the head's drift and nods. Blinks, gaze and the head's mean pose do not depend on it.
    """
    times = (np.arange(num_frames) + 0.5) / fps
    nod, lift = _emphasis(rng, phones, times)
    nod *= motion
    x, y = 0.055 * motion * _drift(rng, times), 0.035 * motion * _drift(rng, times)
    roll = 0.035 * motion * _drift(rng, times) + rng.normal(0.0, 0.015)
    yaw = 0.075 * motion * _drift(rng, times) + rng.normal(0.0, 0.03)
    pitch = 0.040 * motion * _drift(rng, times) + 0.045 * nod
    zoom = 1.0 + 0.012 * motion * _drift(rng, times)
    shut = _blinks(rng, times)
    gaze_x, gaze_y = _glances(rng, times)
    return [
        HeadPose(
            x=float(x[i]),
            y=float(y[i] + 0.02 * nod[i]),
            roll=float(roll[i]),
            zoom=float(zoom[i]),
            yaw=float(np.clip(yaw[i], -0.14, 0.14)),
            pitch=float(pitch[i]),
            shut=float(shut[i]),
            brow=float(lift[i] - 0.25 * shut[i]),
            gaze=(float(gaze_x[i]), float(gaze_y[i])),
        )
        for i in range(num_frames)
    ]


def _drift(rng: np.random.Generator, times: MotionTrack) -> MotionTrack:
    """Smooth random motion in about [-1, 1], float64 [num_frames]: a sum of three slow sines."""
    out = np.zeros(len(times))
    for lowest, highest, size in ((0.10, 0.25, 0.6), (0.3, 0.6, 0.35), (0.8, 1.3, 0.12)):
        out += size * np.sin(2 * np.pi * (rng.uniform(lowest, highest) * times + rng.random()))
    return out


def _emphasis(rng: np.random.Generator, phones: Sequence[Phone], times: MotionTrack) -> tuple[MotionTrack, MotionTrack]:
    """Nods at stressed vowels, and raised brows at some of them: two float64 [num_frames] in about [0, 1]."""
    nod, lift = np.zeros(len(times)), np.zeros(len(times))
    for phone in phones:
        if "ˈ" not in phone.ipa:
            continue
        middle = 0.5 * (phone.start_s + phone.end_s)
        nod += rng.uniform(0.2, 0.8) * np.exp(-np.square((times - middle - 0.04) / 0.13))
        if rng.random() < 0.25:
            lift += rng.uniform(0.4, 0.9) * np.exp(-np.square((times - middle) / 0.22))
    return np.minimum(nod, 1.2), np.minimum(lift, 1.0)


def _blinks(rng: np.random.Generator, times: MotionTrack) -> MotionTrack:
    """Eyelid closure, float64 [num_frames] in [0, 1]. A blink every 1.4 to 4 s; lids close faster than they open."""
    shut = np.zeros(len(times))
    at = rng.uniform(0.2, 1.8)
    while at < times[-1]:
        phase = (times - at) / _BLINK_S
        close = np.clip(phase / 0.35, 0.0, 1.0)
        open_again = np.clip((1.0 - phase) / 0.50, 0.0, 1.0)
        shut = np.maximum(shut, np.minimum(close, open_again))
        at += rng.uniform(1.4, 4.0)
    return shut


def _glances(rng: np.random.Generator, times: MotionTrack) -> tuple[MotionTrack, MotionTrack]:
    """Horizontal and vertical gaze, two float64 [num_frames]. It jumps between points near the camera."""
    x, y = np.zeros(len(times)), np.zeros(len(times))
    at = 0.0
    while at < times[-1] + 0.5:
        here = times >= at
        x[here], y[here] = rng.normal(0.0, 0.28), rng.normal(0.0, 0.18)
        at += rng.uniform(0.4, 1.6)
    return np.clip(x, -0.7, 0.7), np.clip(y, -0.5, 0.5)
