"""Numbers the faces of a video, and chooses those to dub: the largest, the talking one, or faces by number."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.dubbing.face_path import MIN_SEEN_S, FaceChoice, FoundFaces
from pipeline.dubbing.paths import FacePath
from pipeline.dubbing.who import HOW_TO_LIST, Who
from pipeline.faces.active_speaker import (
    MIN_SCORE_RATIO,
    clearly_best,
    loudness_by_frame,
    mouth_motions,
    sound_correlation,
    speaking_score,
)
from pipeline.faces.detector import box_iou
from pipeline.faces.track import MIN_LINK_IOU, FaceTrack
from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

MIN_TALKING_RATIO = 1.25
"""Smallest ratio of the best score to the second best in one shot.

In 10 pairs of a quiet and a talking face it is 1.48 or more.
"""
CHANCE_CORRELATION = 0.3
"""In 3 s, moving mouths reach about this correlation with a sound that is not theirs.

Below it, the ratio must be at least ``MIN_SCORE_RATIO``: two rendered speakers, both speaking, had 0.27 and 0.26 with
one sound. The faces that talk in the 10 pairs have 0.37 to 0.79, but for one of 0.14 beside one of 0.
"""
OpenImages = Callable[[], Iterable[NDArray[np.uint8]]]


@dataclass(frozen=True)
class NumberedFace:
    """One face of one shot. ``paths`` are its indices in ``FoundFaces.paths``; frames are those of the video."""

    number: int
    paths: Sequence[int]
    start: int
    stop: int
    num_seen: int
    box_px: tuple[int, int, int, int]
    """Median box: left, top, right and bottom, px."""


def number_faces(found: FoundFaces) -> list[NumberedFace]:
    """The faces of each shot, numbered from 1 by their first frame, then from left to right.

    A face that is lost and detected again at the same place in the same shot keeps its number. A face that is seen for
    less than 0.2 s of a longer shot has none.
    """
    groups: list[list[int]] = []
    order = sorted(range(len(found.paths)), key=lambda k: (found.paths[k].start, found.paths[k].boxes[0, 0]))
    for index in order:
        group = next((group for group in groups if _continues(found, group[-1], index)), None)
        if group is None:
            groups.append([index])
        else:
            group.append(index)
    kept = [group for group in groups if _num_seen(found, group) >= _fewest(found, group)]
    return [
        NumberedFace(
            number,
            group,
            found.paths[group[0]].start,
            found.paths[group[-1]].stop,
            _num_seen(found, group),
            _median_box(found, group),
        )
        for number, group in enumerate(kept, 1)
    ]


def choose_by_number(faces: Sequence[NumberedFace], numbers: Sequence[int], start: int, stop: int) -> FaceChoice:
    """The choice of these faces for the frames ``start`` to ``stop``. Raises UserError for an unknown number."""
    paths = {face.number: face.paths for face in faces}
    for number in numbers:
        if number not in paths:
            if not faces:
                raise UserError(f"who is {number}, but no face was found in the video")
            known = f"has the faces 1 to {len(faces)}" if len(faces) > 1 else "has only face 1"
            raise UserError(f"who is {number}, but the video {known}; {HOW_TO_LIST}")
    return FaceChoice([index for number in numbers for index in paths[number]], start, stop)


@dataclass(frozen=True)
class Talking:
    """The talking faces of a video, and the spans of frames in which nobody of several clearly talks."""

    numbers: Sequence[int]
    unclear: Sequence[tuple[int, int]]


def find_talking(
    found: FoundFaces, faces: Sequence[NumberedFace], open_images: OpenImages, samples: NDArray[np.float32]
) -> Talking:
    """The face of each shot whose mouth moves with the sound, or the only one.

    ``open_images()`` returns the frames that the faces were found in; ``samples: float32 [n]`` at 16 kHz begin with
    them.
    """
    numbers: list[int] = []
    unclear: list[tuple[int, int]] = []
    images, position = iter(open_images()), 0
    for start, stop, there in _by_shot(found, faces):
        if len(there) < 2:
            numbers += [face.number for face in there]
            continue
        shown = itertools.islice(images, start - position, stop - position)
        position = stop
        which = _talking_in(found, there, start, stop, shown, samples)
        if which is None:
            unclear.append((start, stop))
        else:
            numbers.append(which)
    return Talking(numbers, unclear)


def has_rivals(found: FoundFaces, faces: Sequence[NumberedFace]) -> bool:
    """Whether a shot has several faces, so that sound must show which of them talks."""
    return any(len(there) > 1 for _, _, there in _by_shot(found, faces))


def _by_shot(found: FoundFaces, faces: Sequence[NumberedFace]) -> Iterator[tuple[int, int, list[NumberedFace]]]:
    """First frame and end of each shot, and its faces."""
    for start, stop in itertools.pairwise([0, *found.cuts, found.num_frames]):
        yield start, stop, [face for face in faces if start <= face.start < stop]


def _talking_in(
    found: FoundFaces,
    faces: Sequence[NumberedFace],
    start: int,
    stop: int,
    images: Iterator[NDArray[np.uint8]],
    samples: NDArray[np.float32],
) -> int | None:
    """Number of the talking face among those of one shot."""
    rows = _rows_at_25_fps(found, start, stop)
    tracks = [_track(found, face, start, stop, rows) for face in faces]
    is_seen = [track.is_seen.any() for track in tracks]  # between the rows at 25 fps a brief face may be missed
    tracks = [track for track, seen in zip(tracks, is_seen, strict=True) if seen]
    faces = [face for face, seen in zip(faces, is_seen, strict=True) if seen]
    sound = samples[round((found.time_of(start) - found.time_of(0)) * SAMPLE_RATE_HZ) :]
    motions = mouth_motions(tracks, _repeated(images, rows))
    loudness = loudness_by_frame(sound[: len(rows) * SAMPLES_PER_FRAME], motions.shape[1])
    scores = [speaking_score(motion, loudness) for motion in motions]
    best = clearly_best(scores, MIN_TALKING_RATIO)
    if best is not None and sound_correlation(motions[best], loudness) < CHANCE_CORRELATION:
        best = clearly_best(scores, MIN_SCORE_RATIO)
    return None if best is None else faces[best].number


def _rows_at_25_fps(found: FoundFaces, start: int, stop: int) -> NDArray[np.int64]:
    """The frames of a shot that are nearest to times at 25 fps, counted from the shot's first frame: int64 [N]."""
    starts_s = np.array([found.time_of(frame) for frame in range(start, stop)])
    num = max(1, round((found.time_of(stop) - starts_s[0]) * FPS))
    wanted_s = starts_s[0] + np.arange(num) / FPS
    middles_s = (starts_s[:-1] + starts_s[1:]) / 2
    return np.searchsorted(middles_s, wanted_s - 1e-9).astype(np.int64)


def _track(found: FoundFaces, face: NumberedFace, start: int, stop: int, rows: NDArray[np.int64]) -> FaceTrack:
    boxes, landmarks = np.full((stop - start, 4), np.nan), np.full((stop - start, 5, 2), np.nan)
    for path in (found.paths[index] for index in face.paths):
        span = slice(path.start - start, path.stop - start)
        boxes[span], landmarks[span] = path.boxes, path.landmarks
    return FaceTrack(boxes[rows], landmarks[rows], np.zeros(len(rows)))


def _repeated(images: Iterator[NDArray[np.uint8]], rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """The images at ascending ``rows``, some of them several times."""
    wanted = iter(rows.tolist())
    row = next(wanted, None)
    for index, image in enumerate(images):
        while row == index:
            yield image
            row = next(wanted, None)


def _continues(found: FoundFaces, before: int, after: int) -> bool:
    """Whether a path goes on with another at the same place of the same shot."""
    first, second = found.paths[before], found.paths[after]
    is_later = first.stop <= second.start and _shot_of(found, first) == _shot_of(found, second)
    return is_later and box_iou(first.boxes[-1], second.boxes[0]) >= MIN_LINK_IOU


def _shot_of(found: FoundFaces, path: FacePath) -> int:
    return bisect.bisect_right(found.cuts, path.start)


def _fewest(found: FoundFaces, group: Sequence[int]) -> float:
    """Number of frames with a detection that a face needs to have a number."""
    edges = [0, *found.cuts, found.num_frames]
    shot = _shot_of(found, found.paths[group[0]])
    return min(MIN_SEEN_S * found.fps, edges[shot + 1] - edges[shot])


def _median_box(found: FoundFaces, group: Sequence[int]) -> tuple[int, int, int, int]:
    boxes = np.concatenate([found.paths[index].boxes for index in group])
    left, top, right, bottom = np.round(np.nanmedian(boxes, axis=0)).astype(int).tolist()
    return left, top, right, bottom


def _num_seen(found: FoundFaces, group: Sequence[int]) -> int:
    return sum(found.paths[index].num_seen for index in group)


def choices_for(
    who: Who, found: FoundFaces, faces: Sequence[NumberedFace], talking: Callable[[], Talking], start: int, stop: int
) -> list[FaceChoice]:
    """The faces to dub in the frames ``start`` to ``stop``.

    ``talking`` is called if it is needed. Raises UserError for an unknown number, or if nobody clearly talks.
    """
    if who == "largest":
        return [FaceChoice(range(len(found.paths)), start, stop)]
    if who != "talking":
        return [choose_by_number(faces, who, start, stop)]
    numbers = talking().numbers
    if faces and not numbers:
        raise UserError(f"who is talking, but no face clearly talks; choose one by its number: {HOW_TO_LIST}")
    return [choose_by_number(faces, numbers, start, stop)]
