"""Locates the speaker's face in each frame of a video of any length.

Each detector reads the frames once; only boxes are kept. Settings are in frames at 25 fps and are scaled to the video's
frame rate.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import CropGeometry
from pipeline.faces.crops import crop_boxes
from pipeline.faces.detector import Detection, FaceDetector, box_iou
from pipeline.faces.roll import rolled_boxes, smooth_rolled_faces
from pipeline.faces.track import MIN_LINK_IOU, FaceTrack, link_detections
from pipeline.features.alignment import FPS
from pipeline.media.shots import ChangeMeter, find_cuts

FRAMES_PER_PASS = 1000
"""Number of frames whose detections are linked at once. Bounds the memory for videos with many cuts."""
MIN_SEEN_S = 0.2
"""Shortest total appearance of a face, s; less is a false detection, unless the video is shorter."""


@dataclass(frozen=True)
class FollowSettings:
    """Settings of face tracking. Lengths are in frames at 25 fps, as in ``params.yaml: preprocess``."""

    max_gap_frames: int
    smooth_frames: int
    cut_change: float


@dataclass(frozen=True)
class Followed:
    """Tight crop box of the speaker in each frame: float64 [N, 4] in pixels, NaN without a face.

    ``rolls: float64 [N]``: each box is rotated by it about its centre, clockwise, in degrees; 0 if the face is nearly
    upright. ``cuts`` are the first frames of new shots.
    """

    boxes: NDArray[np.float64]
    rolls: NDArray[np.float64]
    cuts: Sequence[int]


@dataclass
class _Path:
    """One face from its first to its last detection; frames without a detection are NaN.

    ``boxes: float64 [n, 4]``, ``landmarks: float64 [n, 5, 2]``.
    """

    start: int
    boxes: NDArray[np.float64]
    landmarks: NDArray[np.float64]

    @property
    def stop(self) -> int:
        return self.start + len(self.boxes)

    def append(self, later: _Path) -> None:
        """Append a path that starts later; the frames between become NaN."""
        gap = later.start - self.stop
        self.boxes = np.concatenate([self.boxes, np.full((gap, 4), np.nan), later.boxes])
        self.landmarks = np.concatenate([self.landmarks, np.full((gap, 5, 2), np.nan), later.landmarks])

    def shots(self, cuts: Sequence[int]) -> Iterator[_Path]:
        """Yields its parts in each shot, trimmed to their first and last detection; ``cuts`` are first frames."""
        edges = [self.start, *(cut for cut in cuts if self.start < cut < self.stop), self.stop]
        for first, end in itertools.pairwise(edges):
            seen = (
                first - self.start + np.flatnonzero(np.isfinite(self.boxes[first - self.start : end - self.start, 0]))
            )
            if len(seen):
                span = slice(seen[0], seen[-1] + 1)
                yield _Path(self.start + int(seen[0]), self.boxes[span], self.landmarks[span])

    @property
    def area(self) -> float:
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return float(np.nansum(sides[:, 0] * sides[:, 1]))

    @property
    def num_seen(self) -> int:
        return int(np.isfinite(self.boxes[:, 0]).sum())


def follow_face(
    open_frames: Callable[[], Iterable[NDArray[np.uint8]]],
    detectors: Iterable[FaceDetector],
    fps: float,
    settings: FollowSettings,
    geometry: CropGeometry,
    window_frames: int = FRAMES_PER_PASS,
) -> Followed:
    """Locate the speaker's face in each frame of a video, for crops of this geometry.

    ``open_frames()`` returns the video's frames from the first one. ``detectors`` must not be empty. Each detector
    processes the whole video. The next one runs if frames without a face remain; the result with the fewest such frames
    is returned. Among several faces, the one with the largest total area has priority; others fill the frames without
    it. Gaps of up to ``max_gap_frames`` are bridged. Bridging and smoothing stop at cuts.
    """
    best: Followed | None = None
    for detector in detectors:
        found = _follow(open_frames(), detector, fps, settings, geometry, window_frames)
        if best is None or _num_missing(found) < _num_missing(best):
            best = found
        if not _num_missing(best):
            break
    assert best is not None
    return best


def _num_missing(followed: Followed) -> int:
    return int(np.isnan(followed.boxes[:, 0]).sum())


def _follow(
    frames: Iterable[NDArray[np.uint8]],
    detector: FaceDetector,
    fps: float,
    settings: FollowSettings,
    geometry: CropGeometry,
    window_frames: int,
) -> Followed:
    max_gap = round(settings.max_gap_frames * fps / FPS)
    paths: list[_Path] = []
    num_frames = 0
    meter = ChangeMeter()

    def metered() -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            meter.add(frame)
            yield frame

    detections = (detector.detect(frame) for frame in metered())
    while window := list(itertools.islice(detections, window_frames)):
        _extend(paths, _paths_of(window, num_frames, max_gap), num_frames, max_gap)
        num_frames += len(window)
    min_seen = min(MIN_SEEN_S * fps, num_frames)
    followed = [path for path in sorted(paths, key=lambda path: -path.area) if path.num_seen >= min_seen]
    cuts = find_cuts(meter.changes, settings.cut_change)
    boxes, rolls = np.full((num_frames, 4), np.nan), np.zeros(num_frames)
    for shot in itertools.chain.from_iterable(path.shots(cuts) for path in followed):
        track = FaceTrack(shot.boxes, shot.landmarks, np.empty(0))
        faces, rolls_there = smooth_rolled_faces(track, settings.smooth_frames * fps / FPS)
        smooth = rolled_boxes(crop_boxes(faces, geometry), faces, rolls_there)
        is_free = np.isnan(boxes[shot.start : shot.stop, 0])
        boxes[shot.start : shot.stop][is_free] = smooth[is_free]
        rolls[shot.start : shot.stop][is_free] = rolls_there[is_free]
    return Followed(boxes, rolls, cuts)


def _paths_of(window: Sequence[Sequence[Detection]], start: int, max_gap: int) -> list[_Path]:
    found = []
    for track in link_detections(window, max_gap):
        seen = np.flatnonzero(track.is_seen)
        span = slice(seen[0], seen[-1] + 1)
        found.append(_Path(start + int(seen[0]), track.boxes[span], track.landmarks[span]))
    return found


def _extend(paths: list[_Path], new: list[_Path], seam: int, max_gap: int) -> None:
    """Add the paths of the next window. A path that continues one from before the seam is appended to it."""
    open_ends = [path for path in paths if path.stop + max_gap >= seam]
    for path in sorted(new, key=lambda path: -path.area):
        near = [end for end in open_ends if path.start - end.stop <= max_gap]
        best = max(near, key=lambda end: box_iou(end.boxes[-1], path.boxes[0]), default=None)
        if best is None or box_iou(best.boxes[-1], path.boxes[0]) < MIN_LINK_IOU:
            paths.append(path)
            continue
        best.append(path)
        open_ends.remove(best)
