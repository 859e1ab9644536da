"""Whether the lips follow the sound, from landmarks: opening with loudness in speech, and rest in pauses.

These metrics need no network that was trained on lips and sound. Landmarks are those of MediaPipe's face mesh, float64
[N, 468, 3] at 25 fps, in pixels; rows of frames without a face are NaN. Depth is not used: the network estimates it
from one view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.features.alignment import FPS, num_samples_of
from pipeline.features.mesh_landmarks import OUTER_EYE_CORNERS
from pipeline.features.samples import int16_to_float

INNER_LIPS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
"""Pairs of landmarks on the edge of the upper and the lower lip, from the middle to both sides."""
LIPS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
"""Landmarks of the outer and the inner edge of the lips."""
STEADY = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 129, 358, 10, 109, 338)
"""Landmarks that do not move with the mouth: corners of the eyes, ridge, tip and sides of the nose, forehead."""
MIN_SPEECH_FRAMES = 12
"""Fewest frames of speech with a face for a correlation: half a second."""
MIN_PAUSE_S = 0.3
"""Shortest silence that counts as a pause. In shorter ones the mouth is on its way from one sound to the next."""
MIN_LOUDNESS_DB = -80.0
"""Loudness of digital silence, relative to full scale."""

_FRAME_SAMPLES = num_samples_of(1)

_Float64 = NDArray[np.float64]
Span = tuple[int, int]
"""First sample of a span at 16 kHz, and the one after its last."""


@dataclass(frozen=True)
class LipScore:
    """The lips of one clip. ``opening_correlation`` is None with too little speech, ``pause_motion_px`` without pauses.

    ``num_pause_steps``: number of frame steps in pauses, over which ``pause_motion_px`` is the mean.
    """

    opening_correlation: float | None
    pause_motion_px: float | None
    num_pause_steps: int


def lip_score(landmarks: _Float64, audio: NDArray[np.int16], speech: Sequence[Span], px_per_unit: float) -> LipScore:
    """Both metrics of one clip.

    ``audio``: int16 [n], 16 kHz mono. ``speech``: its spans of speech. ``px_per_unit``: pixels of a face crop of 96 px
    per pixel of the landmarks.
    """
    loudness_N = loudness_db(audio)
    num = min(len(landmarks), len(loudness_N))
    is_speech, is_pause = speech_frames(speech, num), pause_frames(speech, num)
    steps = lip_steps(landmarks[:num]) * px_per_unit
    rest = steps[is_pause[1:] & is_pause[:-1] & np.isfinite(steps)]
    return LipScore(
        opening_correlation=opening_correlation(mouth_openings(landmarks[:num]), loudness_N[:num], is_speech),
        pause_motion_px=float(rest.mean()) if len(rest) else None,
        num_pause_steps=len(rest),
    )


def mouth_openings(landmarks: _Float64) -> _Float64:
    """Mean distance of the inner lips relative to the distance of the outer corners of the eyes: float64 [N]."""
    points = landmarks[..., :2]
    pairs = np.array(INNER_LIPS)
    lips = np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=-1).mean(axis=1)
    left, right = (points[:, corner] for corner in OUTER_EYE_CORNERS)
    openings: _Float64 = lips / np.linalg.norm(right - left, axis=-1)
    return openings


def loudness_db(audio: NDArray[np.int16]) -> _Float64:
    """RMS of each whole video frame's samples in decibels relative to full scale, at least -80: float64 [N]."""
    whole = audio[: len(audio) // _FRAME_SAMPLES * _FRAME_SAMPLES]
    frames = int16_to_float(whole).astype(np.float64).reshape(-1, _FRAME_SAMPLES)
    rms = np.sqrt(np.square(frames).mean(axis=1))
    return 20 * np.log10(np.maximum(rms, 10 ** (MIN_LOUDNESS_DB / 20)))


def opening_correlation(openings: _Float64, loudness_db_N: _Float64, is_speech: NDArray[np.bool_]) -> float | None:
    """Pearson's correlation of opening and loudness over the frames of speech with a face, without a lag: -1..1.

    0 if the mouth or the loudness does not change: such a mouth does not follow the sound. None for fewer than
    ``MIN_SPEECH_FRAMES`` frames. No lag is searched: the largest of several correlations is above 0 by chance, and a
    sound that is late would not count.
    """
    used = is_speech & np.isfinite(openings)
    if used.sum() < MIN_SPEECH_FRAMES:
        return None
    opening, loudness = (values[used] - values[used].mean() for values in (openings, loudness_db_N))
    spread = float(np.sqrt(np.square(opening).sum() * np.square(loudness).sum()))
    return float(opening @ loudness) / spread if spread > 1e-9 else 0.0


def lip_steps(landmarks: _Float64) -> _Float64:
    """Mean distance by which the landmarks of the lips move from one frame to the next: float64 [N - 1].

    In the unit of the landmarks, after the motion of the head is removed: the similarity that best maps the steady
    landmarks of a frame to those of the next one. NaN if one of the two frames has no face.
    """
    points = landmarks[..., :2]
    before, after = points[:-1], points[1:]
    moved = _head_moved(before, after, np.array(STEADY))
    steps: _Float64 = np.linalg.norm((moved - after)[:, list(LIPS)], axis=-1).mean(axis=1)
    return steps


def _head_moved(before: _Float64, after: _Float64, steady: NDArray[np.int64]) -> _Float64:
    """``before: float64 [N, 468, 2]`` mapped by the similarity that best brings its steady points to ``after``'s.

    Points as complex numbers: a similarity is z -> a z + b, and the least squares solution is in closed form.
    """
    x, y = (points[..., 0] + 1j * points[..., 1] for points in (before, after))
    x_mean, y_mean = (z[:, steady].mean(axis=1, keepdims=True) for z in (x, y))
    x_steady, y_steady = x[:, steady] - x_mean, y[:, steady] - y_mean
    energy = np.square(np.abs(x_steady)).sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # rows without a face stay NaN
        turn = (np.conj(x_steady) * y_steady).sum(axis=1, keepdims=True) / np.maximum(energy, 1e-12)
    moved = turn * (x - x_mean) + y_mean
    return np.stack([moved.real, moved.imag], axis=-1)


def speech_frames(speech: Sequence[Span], num_frames: int) -> NDArray[np.bool_]:
    """Whether all samples of a frame are in one span of speech: bool [num_frames]."""
    inside = np.zeros(num_frames, bool)
    for start, stop in speech:
        inside[-(-start // _FRAME_SAMPLES) : max(0, stop // _FRAME_SAMPLES)] = True
    return inside


def pause_frames(speech: Sequence[Span], num_frames: int) -> NDArray[np.bool_]:
    """Whether all samples of a frame are in one pause, a silence of at least ``MIN_PAUSE_S``: bool [num_frames]."""
    ends = [0, *(sample for span in speech for sample in span), num_frames * _FRAME_SAMPLES]
    shortest = MIN_PAUSE_S * FPS * _FRAME_SAMPLES
    silences = zip(ends[::2], ends[1::2], strict=True)
    return speech_frames([(start, stop) for start, stop in silences if stop - start >= shortest], num_frames)
