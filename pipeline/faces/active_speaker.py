"""Active speaker detection: selects the face whose mouth motion correlates with the loudness of the audio.

It separates a speaker from listeners. It cannot separate two people who talk at once; that needs an audio-visual
network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.crops import crop_to_frame
from pipeline.faces.smooth import smooth_series
from pipeline.faces.track import FaceTrack
from pipeline.features.alignment import num_samples_of

PATCH_PX = 32
MOUTH_HALF = 0.5
"""Half the side of the mouth patch, in mouth widths."""
LANDMARK_SMOOTHING_FRAMES = 15
MOTION_SMOOTHING_FRAMES = 5
MAX_LAG_FRAMES = 3
"""Largest lag between mouth motion and audio that is searched, in frames at 25 fps."""
MIN_SCORE_RATIO = 2.0
"""Smallest ratio of the best score to the second best; below it no speaker is selected."""


def speaking_track(
    tracks: Sequence[FaceTrack], frames: Iterable[NDArray[np.uint8]], samples: NDArray[np.float32]
) -> int | None:
    """Index of the speaking track, or None if no track is clearly best.

    ``frames: uint8 [H, W, 3]`` BGR at 25 fps, one per row of the tracks; ``samples: float32 [n]`` at 16 kHz with the
    same start time.
    """
    motions = mouth_motions(tracks, frames)
    loudness = loudness_by_frame(samples, motions.shape[1])
    scores = [speaking_score(motion, loudness) for motion in motions]
    return clearly_best(scores, MIN_SCORE_RATIO)


def clearly_best(scores: Sequence[float], min_ratio: float) -> int | None:
    """Index of the best score, or None unless it is positive and at least ``min_ratio`` times the second best."""
    ranked = sorted(range(len(scores)), key=lambda k: -scores[k])
    if not ranked or scores[ranked[0]] <= 0:
        return None
    if len(ranked) > 1 and scores[ranked[0]] < min_ratio * scores[ranked[1]]:
        return None
    return ranked[0]


def speaking_score(motion: NDArray[np.float64], loudness: NDArray[np.float64]) -> float:
    """Mean motion times its largest correlation with loudness over all lags; 0 for a still or uncorrelated mouth.

    ``motion: float64 [N]`` in grey levels, NaN where the face is missing; ``loudness: float64 [N]`` in dB.
    """
    correlation = sound_correlation(motion, loudness)
    return float(motion[np.isfinite(motion)].mean()) * correlation if correlation else 0.0


def sound_correlation(motion: NDArray[np.float64], loudness: NDArray[np.float64]) -> float:
    """Largest correlation of a mouth's motion with loudness over all lags, 0..1. Arguments as in `speaking_score`.

    0 if the motion is still, correlated negatively, or too short.
    """
    is_seen = np.isfinite(motion)
    if is_seen.sum() < 2 * MAX_LAG_FRAMES + MOTION_SMOOTHING_FRAMES:
        return 0.0
    filled = np.interp(np.arange(len(motion)), np.flatnonzero(is_seen), motion[is_seen])
    padded = np.pad(filled, MOTION_SMOOTHING_FRAMES // 2, mode="edge")
    smooth = np.convolve(padded, np.ones(MOTION_SMOOTHING_FRAMES) / MOTION_SMOOTHING_FRAMES, mode="valid")
    best = max(_correlation(smooth, loudness, lag) for lag in range(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1))
    return max(0.0, best)


def mouth_motions(tracks: Sequence[FaceTrack], frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Mean absolute change of each mouth patch between neighbouring frames: float64 [tracks, N], grey levels.

    The patch follows the face. NaN before the second frame of the face's appearance and after its last.
    """
    patches = [_MouthPatch(track) for track in tracks]
    rows = [[patch.change(frame, index) for patch in patches] for index, frame in enumerate(frames)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(tracks)).T


def loudness_by_frame(samples: NDArray[np.float32], num_frames: int) -> NDArray[np.float64]:
    """RMS of the audio of each 25 fps frame in dB, at least -80: float64 [num_frames]."""
    step = num_samples_of(1)
    padded = np.zeros(num_frames * step, np.float64)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    rms = np.sqrt(np.square(padded.reshape(num_frames, step)).mean(axis=1))
    return np.asarray(20 * np.log10(np.maximum(rms, 1e-4)))


class _MouthPatch:
    """The mouth patch of one face, normalised in size and position."""

    def __init__(self, track: FaceTrack) -> None:
        seen = np.flatnonzero(track.is_seen)
        self._start, self._stop = int(seen[0]), int(seen[-1]) + 1
        frames = np.arange(self._start, self._stop)
        corners = track.landmarks[seen, 3:].reshape(len(seen), 4)
        filled = np.column_stack([np.interp(frames, seen, column) for column in corners.T])
        smooth = smooth_series(filled, LANDMARK_SMOOTHING_FRAMES).reshape(-1, 2, 2)
        self._centres = smooth.mean(axis=1)
        self._half = max(1.0, MOUTH_HALF * float(np.median(np.linalg.norm(smooth[:, 1] - smooth[:, 0], axis=1))))
        self._last: NDArray[np.float32] | None = None

    def change(self, frame: NDArray[np.uint8], index: int) -> float:
        if not self._start <= index < self._stop:
            return float("nan")
        before, self._last = self._last, self._cut(frame, self._centres[index - self._start])
        return float("nan") if before is None else float(np.abs(self._last - before).mean())

    def _cut(self, frame: NDArray[np.uint8], centre: NDArray[np.float64]) -> NDArray[np.float32]:
        box = np.concatenate([centre - self._half, centre + self._half])
        patch = cv2.warpAffine(
            frame,
            crop_to_frame(box, PATCH_PX, PATCH_PX),
            (PATCH_PX, PATCH_PX),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        grey = cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.5), np.float32)


def _correlation(motion: NDArray[np.float64], loudness: NDArray[np.float64], lag: int) -> float:
    """Pearson correlation of motion at t + lag and loudness at t."""
    a, b = (motion[lag:], loudness[: len(loudness) - lag]) if lag >= 0 else (motion[:lag], loudness[-lag:])
    if np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
