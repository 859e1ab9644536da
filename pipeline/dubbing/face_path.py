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
from pipeline.dubbing.face_search import SparseSearch, search_each
from pipeline.dubbing.paths import FacePath, FilledPaths
from pipeline.faces.crops import crop_boxes
from pipeline.faces.detector import Detection, FaceDetector, ReducedDetector, box_iou
from pipeline.faces.gaps import GapDetector, GapSearch
from pipeline.faces.roll import rolled_boxes, smooth_rolled_faces
from pipeline.faces.track import MIN_LINK_IOU, FaceTrack, link_detections
from pipeline.features.alignment import FPS
from pipeline.media.picture import StoredPicture
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
    upright. ``cuts`` are the first frames of new shots. ``paths: int64 [N]`` are indices of ``FoundFaces.paths``, -1
    without a face; None if the boxes were not found by detection.
    """

    boxes: NDArray[np.float64]
    rolls: NDArray[np.float64]
    cuts: Sequence[int]
    paths: NDArray[np.int64] | None = None

    @property
    def shot_starts(self) -> Sequence[int]:
        """The first frames of new shots, and the frames with another path than the frame before, in order."""
        if self.paths is None:
            return self.cuts
        return sorted({*self.cuts, *(np.flatnonzero(np.diff(self.paths)) + 1).tolist()})


@dataclass(frozen=True)
class FaceChoice:
    """Paths of a video's faces for the frames ``start`` to ``stop`` (exclusive); of two in one frame, the first."""

    paths: Sequence[int]
    """Indices of ``FoundFaces.paths``."""
    start: int
    stop: int


@dataclass(frozen=True)
class FoundFaces:
    """The faces of a video: ``paths`` that lie in one shot each, those of the largest face first.

    ``cuts`` are the first frames of new shots. ``times_s: float64 [num_frames + 1]`` are the times of the frames and
    the end of the last one, in seconds; None if the frames are evenly spaced from 0.
    """

    paths: Sequence[FacePath]
    cuts: Sequence[int]
    num_frames: int
    fps: float
    times_s: NDArray[np.float64] | None = None

    def time_of(self, frame: int) -> float:
        """Time of a frame in seconds; for ``num_frames`` the end of the last one."""
        return frame / self.fps if self.times_s is None else float(self.times_s[frame])

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """Whether a frame is in a path: bool [num_frames]."""
        has_face = np.zeros(self.num_frames, bool)
        for path in self.paths:
            has_face[path.start : path.stop] = True
        return has_face

    @property
    def num_without_face(self) -> int:
        """Number of frames in no path."""
        return int((~self.has_face).sum())

    def follow(self, choices: Sequence[FaceChoice], settings: FollowSettings, geometry: CropGeometry) -> Followed:
        """Smoothed boxes of the chosen faces, for crops of this geometry."""
        boxes, rolls = np.full((self.num_frames, 4), np.nan), np.zeros(self.num_frames)
        chosen = np.full(self.num_frames, -1)
        for choice in choices:
            is_wanted = np.zeros(self.num_frames, bool)
            is_wanted[choice.start : choice.stop] = True
            for index in choice.paths:
                path = self.paths[index]
                track = FaceTrack(path.boxes, path.landmarks, np.empty(0))
                faces, path_rolls = smooth_rolled_faces(track, settings.smooth_frames * self.fps / FPS)
                smooth = rolled_boxes(crop_boxes(faces, geometry), faces, path_rolls)
                span = slice(path.start, path.stop)
                is_free = np.isnan(boxes[span, 0]) & is_wanted[span]
                boxes[span][is_free], rolls[span][is_free] = smooth[is_free], path_rolls[is_free]
                chosen[span][is_free] = index
        return Followed(boxes, rolls, self.cuts, chosen)


def finer(detectors: Iterable[FaceDetector]) -> Sequence[FaceDetector]:
    """The detectors without the first, which is the coarsest, unless it is the only one.

    The coarsest finds the largest face, but may miss smaller ones beside it, and these are wanted if one is chosen.
    """
    first, *others = detectors
    return others or [first]


def find_faces(
    open_frames: Callable[[], Iterable[StoredPicture]],
    detectors: Iterable[FaceDetector],
    fps: float,
    settings: FollowSettings,
    window_frames: int = FRAMES_PER_PASS,
) -> FoundFaces:
    """Locate all faces of a video. Gaps of up to ``max_gap_frames`` are bridged, but not at cuts.

    ``open_frames()`` returns the video's frames from the first one. ``detectors`` must not be empty. Each detector
    processes the whole video, a `ReducedDetector` as in `SparseSearch`, and a `GapDetector` only the frames that lack a
    face. The next one runs if such frames remain; the result with the fewest of them is returned.
    """
    best: FoundFaces | None = None
    whole: Sequence[FacePath] = ()
    fewest = 0
    for detector in detectors:
        meter = ChangeMeter()
        if isinstance(detector, ReducedDetector):
            faces = SparseSearch(detector, meter, fps)(open_frames())
        elif best is not None and isinstance(detector, GapDetector):
            faces = search_each(open_frames(), FilledPaths(whole, GapSearch(detector, ~best.has_face)), meter)
        else:
            faces = search_each(open_frames(), detector.detect, meter)
        found, paths = _find(faces, meter, fps, settings, window_frames)
        num_missing = found.num_without_face
        if best is None or num_missing < fewest:
            best, whole, fewest = found, paths, num_missing
        if not fewest:
            break
    assert best is not None
    return best


def _max_gap(settings: FollowSettings, fps: float) -> int:
    return round(settings.max_gap_frames * fps / FPS)


def _find(
    detections: Iterator[Sequence[Detection]],
    meter: ChangeMeter,
    fps: float,
    settings: FollowSettings,
    window_frames: int,
) -> tuple[FoundFaces, list[FacePath]]:
    """The faces of a video, and all paths, also of brief faces and across cuts.

    ``detections``: the faces of each frame, which ``meter`` gets, too.
    """
    max_gap = _max_gap(settings, fps)
    paths: list[FacePath] = []
    num_frames = 0
    while window := list(itertools.islice(detections, window_frames)):
        _extend(paths, _paths_of(window, num_frames, max_gap), num_frames, max_gap)
        num_frames += len(window)
    min_seen = min(MIN_SEEN_S * fps, num_frames)
    by_size = [path for path in sorted(paths, key=lambda path: -path.area) if path.num_seen >= min_seen]
    cuts = find_cuts(meter.changes, settings.cut_change)
    in_shots = itertools.chain.from_iterable(path.shots(cuts) for path in by_size)
    return FoundFaces(list(in_shots), cuts, num_frames, fps), paths


def _paths_of(window: Sequence[Sequence[Detection]], start: int, max_gap: int) -> list[FacePath]:
    found = []
    for track in link_detections(window, max_gap):
        seen = np.flatnonzero(track.is_seen)
        span = slice(seen[0], seen[-1] + 1)
        found.append(FacePath(start + int(seen[0]), track.boxes[span], track.landmarks[span]))
    return found


def _extend(paths: list[FacePath], new: list[FacePath], seam: int, max_gap: int) -> None:
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
