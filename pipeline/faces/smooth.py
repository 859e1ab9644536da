"""Smooths a face track to one place and size per frame, without jitter and lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.track import FaceTrack

SIZE_WIDTH_FACTOR = 3
SPIKE_SHARE = 0.1
"""A box is an outlier if it differs from its neighbours' median by more than this share of the face's half-size."""


def smooth_faces(track: FaceTrack, width_frames: float) -> NDArray[np.float64]:
    """The smoothed track: float64 [N, 5] of centre x, centre y, half-size, half-width and half-height in pixels.

    Half-size is half the longer side of the box, as in syncnet_python; half-width and half-height are of the box
    itself. The centre is the mean of the box centre and a point derived from eyes and nose, which jaw motion does not
    affect. Outliers of one or two detections are replaced. Gaps are interpolated linearly; the ends are held constant.
    `smooth_series` then smooths the clip, with three times the width for the sizes. Raises ValueError for a track
    without a face.
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
    faces = np.concatenate([_without_spikes(squares, limit), _without_spikes(sides / 2, limit)], axis=1)
    frames = np.arange(len(track.boxes))
    filled = np.column_stack([np.interp(frames, seen, column) for column in faces.T])
    place = smooth_series(filled[:, :2], width_frames)
    size = smooth_series(filled[:, 2:], SIZE_WIDTH_FACTOR * width_frames)
    return np.concatenate([place, size], axis=1)


def _without_spikes(values: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Replace rows that differ from the running median of 5 by more than ``limit`` in any column."""
    if len(values) < 5:
        return values
    padded = np.pad(values, ((2, 2), (0, 0)), mode="reflect")
    median = np.median([padded[k : k + len(values)] for k in range(5)], axis=0)
    is_spike = (np.abs(values - median) > limit).any(axis=1)
    return np.where(is_spike[:, None], median, values)


def smooth_series(values: NDArray[np.float64], width_frames: float) -> NDArray[np.float64]:
    """Twiced local linear regression with Gaussian weights of full width at half maximum ``width_frames``.

    ``values: float64 [N, K]`` -> same. It has no lag and preserves linear motion exactly, also at the ends (Cleveland
    1979). Twicing, which smooths the residual again (Tukey 1977), preserves slow head turns.
    """
    once = _local_lines(values, width_frames)
    return once + _local_lines(values - once, width_frames)


def _local_lines(values: NDArray[np.float64], width_frames: float) -> NDArray[np.float64]:
    num = len(values)
    sigma = max(width_frames, 1e-3) / (2 * np.sqrt(2 * np.log(2)))
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
