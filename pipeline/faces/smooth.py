"""Smooths a face track to one place and size per frame, without jitter and lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from pipeline.faces.track import FaceTrack

FWHM_TO_SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))
SIZE_WIDTH_FACTOR = 3
MOTION_WIDTH_FACTOR = 0.2
"""Width, relative to the whole smoothing's, that separates motion of the head from the detector's noise."""
PLACE_LOSS, SIZE_LOSS = (0.01, 0.02), (0.03, 0.06)
"""Motion that smoothing removes (RMS, in shares of the face's size): above the first it is kept in part, then whole.

In still heads the detector's noise amounts to 0.004. Size has wider limits, because the jaw changes it.
"""
SPIKE_SHARE = 0.1
"""A box is an outlier if it differs from its neighbours' median by more than this share of the face's half-size."""
SPIKE_SPEED = 1.5
"""In a moving head it may differ further, by this multiple of the usual motion from frame to frame."""


def smooth_faces(track: FaceTrack, width_frames: float) -> NDArray[np.float64]:
    """The smoothed track: float64 [N, 5] of centre x, centre y, half-size, half-width and half-height in pixels.

    Half-size is half the longer side of the box, as in syncnet_python; half-width and half-height are of the box
    itself. The centre is the mean of the box centre and a point derived from eyes and nose, which jaw motion does not
    affect. Outliers of one or two detections are replaced. Gaps are interpolated linearly; the ends are held constant.
    `smooth_series` then smooths the clip, with three times the width for the sizes. Motion too quick for that width
    is kept where it exceeds the detector's noise; elsewhere it has no effect. Raises ValueError for a track without a
    face.
    """
    seen = np.flatnonzero(track.is_seen)
    if len(seen) == 0:
        raise ValueError("the track has no face to smooth")
    boxes = track.boxes[seen]
    sides = boxes[:, 2:] - boxes[:, :2]
    squares = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, sides.max(axis=1) / 2])
    typical = float(np.median(squares[:, 2]))
    anchors = track.landmarks[seen, :3].mean(axis=1)
    offset = np.median((squares[:, :2] - anchors) / squares[:, 2:], axis=0)
    squares[:, :2] = (squares[:, :2] + anchors + offset * squares[:, 2:]) / 2
    limit = SPIKE_SHARE * typical
    # Apart, so that the squares do not depend on the box's width.
    faces = np.concatenate([_without_spikes(values, limit) for values in (squares, sides / 2, anchors)], axis=1)
    frames = np.arange(len(track.boxes))
    filled = np.column_stack([np.interp(frames, seen, column) for column in faces.T])
    heads = filled[:, 5:]
    place = smooth_series(filled[:, :2], width_frames)
    lost_place = smooth_series(heads, MOTION_WIDTH_FACTOR * width_frames) - smooth_series(heads, width_frames)
    size = smooth_series(filled[:, 2:5], SIZE_WIDTH_FACTOR * width_frames)
    lost_size = smooth_series(filled[:, 2:5], width_frames) - size
    place += lost_place * _kept(lost_place / (2 * typical), PLACE_LOSS, width_frames)
    size += lost_size * _kept(lost_size[:, :1] / typical, SIZE_LOSS, width_frames)
    return np.concatenate([place, size], axis=1)


def _kept(lost: NDArray[np.float64], limits: tuple[float, float], width_frames: float) -> NDArray[np.float64]:
    """Share 0..1 of the motion ``lost: float64 [N, K]`` that is significant around each frame: float64 [N, 1]."""
    power = gaussian_filter1d(np.square(lost).sum(axis=1, keepdims=True), width_frames * FWHM_TO_SIGMA, axis=0)
    low, high = limits
    return np.clip((np.sqrt(power) - low) / (high - low), 0, 1)


def _without_spikes(values: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Replace rows that differ from the running median of 5 by more than ``limit`` and motion in any column."""
    if len(values) < 5:
        return values
    median = _running_median(values, 5)
    speed = _running_median(np.abs(np.gradient(values, axis=0)), 9)
    away: NDArray[np.float64] = np.abs(values - median) - SPIKE_SPEED * speed
    is_spike = (away > limit).any(axis=1, keepdims=True)
    return np.where(is_spike, median, values)


def _running_median(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    padded = np.pad(values, ((width // 2, width // 2), (0, 0)), mode="reflect")
    median: NDArray[np.float64] = np.median([padded[k : k + len(values)] for k in range(width)], axis=0)
    return median


def smooth_series(values: NDArray[np.float64], width_frames: float) -> NDArray[np.float64]:
    """Twiced local linear regression with Gaussian weights of full width at half maximum ``width_frames``.

    ``values: float64 [N, K]`` -> same. It has no lag and preserves linear motion exactly, also at the ends (Cleveland
    1979). Twicing, which smooths the residual again (Tukey 1977), preserves slow head turns.
    """
    once = _local_lines(values, width_frames)
    return once + _local_lines(values - once, width_frames)


def _local_lines(values: NDArray[np.float64], width_frames: float) -> NDArray[np.float64]:
    num = len(values)
    sigma = max(width_frames, 1e-3) * FWHM_TO_SIGMA
    radius = min(int(np.ceil(4 * sigma)), num - 1)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)

    def moment(column: NDArray[np.float64], power: int) -> NDArray[np.float64]:
        return np.correlate(np.pad(column, radius), kernel * offsets**power, "valid")

    ones = np.ones(num)
    s0, s1, s2 = (moment(ones, power) for power in range(3))
    spread = s0 * s2 - s1 * s1
    is_sloped = spread > 1e-9 * s0
    smoothed = np.empty_like(values)
    for k in range(values.shape[1]):
        t0, t1 = moment(values[:, k], 0), moment(values[:, k], 1)
        line = (s2 * t0 - s1 * t1) / np.where(is_sloped, spread, 1)
        smoothed[:, k] = np.where(is_sloped, line, t0 / s0)
    return smoothed
