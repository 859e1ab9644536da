"""Selects the segments of a video that become clips: one shot, one face, a length within the limits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.active_speaker import speaking_track
from pipeline.faces.roll import smooth_rolled_faces
from pipeline.faces.smooth import smooth_faces
from pipeline.faces.track import FaceTrack, link_detections
from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.media.shots import find_cuts, shots_of
from pipeline.params import PreprocessParams
from pipeline.preprocess.footage import FaceScan
from pipeline.preprocess.reasons import Reason, RejectedError


@dataclass(frozen=True)
class Segment:
    """Frames ``start`` to ``stop`` (exclusive) of the video, with one face in all of them.

    ``faces: float64 [stop - start, 5]``: rows of `smooth_faces`, in source pixels. ``rolls: float64 [stop - start]``:
    roll of the crops, degrees. ``score`` is the detector's mean confidence, ``missing`` the share of searched frames
    without a detection. Both cover the whole track.
    """

    start: int
    stop: int
    faces: NDArray[np.float64]
    rolls: NDArray[np.float64]
    score: float
    missing: float

    @property
    def face_px(self) -> float:
        return 2 * float(np.median(self.faces[:, 2]))


@dataclass(frozen=True)
class RejectedSegment:
    """Frames ``start`` to ``stop`` (exclusive) of the video, which are rejected, and the reason."""

    start: int
    stop: int
    reason: Reason
    detail: str


@dataclass(frozen=True)
class _Stretch:
    """Frames ``start`` to ``stop`` (exclusive) of the video that are covered by at least one candidate face.

    The ``tracks`` overlap in time and have at least the minimum length of a clip. Their rows are the stretch's frames.
    """

    start: int
    stop: int
    tracks: Sequence[FaceTrack]


def find_segments(
    scan: FaceScan,
    frames: Iterable[NDArray[np.uint8]],
    samples: NDArray[np.float32],
    params: PreprocessParams,
    sound_delay_s: float | Fraction = 0,
) -> list[Segment | RejectedSegment]:
    """The video's segments in order, and a rejected segment for each remaining part of a shot.

    Gaps that are short enough to bridge, and ends without audio, are left out. ``frames`` are read again only to
    choose among several faces. ``samples`` are silent before ``sound_delay_s``. Raises RejectedError if the lengths of
    video and audio differ too much.
    """
    _require_equal_length(len(scan.faces), len(samples), params)
    shots = shots_of(len(scan.faces), find_cuts(scan.changes, params.cut_change))
    stretches = [_stretches_in(scan, shot, params) for shot in shots]
    speakers = iter(_speakers(list(itertools.chain(*stretches)), frames, samples, params))
    with_sound = range(int(sound_delay_s * int(FPS)), math.ceil(len(samples) / SAMPLE_RATE_HZ * FPS - 1e-9))
    segments: list[Segment | RejectedSegment] = []
    for shot, in_shot in zip(shots, stretches, strict=True):
        made: list[Segment | RejectedSegment] = []
        edge = shot[0]
        for stretch in in_shot:
            for begin, track in _chosen_tracks(stretch, next(speakers)):
                made += _rejected_gap(scan, edge, begin, params)
                edge = begin + len(track.boxes)
                made += _segments_of(track, scan, begin, with_sound, params)
        made += _rejected_gap(scan, edge, shot[1], params)
        segments += made or [_rejected_without_track(scan, *shot, params)]
    return segments


def num_kept_frames(segments: Iterable[Segment | RejectedSegment]) -> int:
    return sum(segment.stop - segment.start for segment in segments if isinstance(segment, Segment))


def _require_equal_length(num_frames: int, num_samples: int, params: PreprocessParams) -> None:
    picture_s, sound_s = num_frames / FPS, num_samples / SAMPLE_RATE_HZ
    if abs(picture_s - sound_s) > params.max_length_mismatch_s:
        raise RejectedError(
            Reason.LENGTH_MISMATCH,
            f"the video lasts {picture_s:.2f} s, the audio {sound_s:.2f} s "
            f"(params.yaml: preprocess.max_length_mismatch_s {params.max_length_mismatch_s})",
        )


def _stretches_in(scan: FaceScan, shot: tuple[int, int], params: PreprocessParams) -> list[_Stretch]:
    """The stretches of a shot: each groups tracks that overlap in time."""
    start, stop = shot
    tracks = link_detections(scan.faces[start:stop], params.max_gap_frames, params.detect_every)
    groups: list[list[FaceTrack]] = []
    for track in sorted(tracks, key=lambda track: track.span[0]):
        first, end = track.span
        if end - first < params.min_frames:
            continue
        if groups and first < max(other.span[1] for other in groups[-1]):
            groups[-1].append(track)
        else:
            groups.append([track])
    stretches = []
    for group in groups:
        first, end = min(track.span[0] for track in group), max(track.span[1] for track in group)
        stretches.append(_Stretch(start + first, start + end, [track.part(first, end) for track in group]))
    return stretches


def _speakers(
    stretches: Sequence[_Stretch],
    frames: Iterable[NDArray[np.uint8]],
    samples: NDArray[np.float32],
    params: PreprocessParams,
) -> list[int | None]:
    """Index of the speaking track of each stretch, None if it is not determined."""
    if params.choose_face != "speaking" or all(len(stretch.tracks) < 2 for stretch in stretches):
        return [None] * len(stretches)
    remaining, position = iter(frames), 0
    chosen: list[int | None] = []
    for stretch in stretches:
        for _ in itertools.islice(remaining, stretch.start - position):
            pass
        shown, position = itertools.islice(remaining, stretch.stop - stretch.start), stretch.stop
        if len(stretch.tracks) < 2:
            for _ in shown:
                pass
            chosen.append(None)
        else:
            sound = samples[num_samples_of(stretch.start) : num_samples_of(stretch.stop)]
            chosen.append(speaking_track(stretch.tracks, shown, sound))
    return chosen


def _chosen_tracks(stretch: _Stretch, speaker: int | None) -> Iterator[tuple[int, FaceTrack]]:
    """Yields the speaker's track, or else the largest face's, and further tracks that do not overlap in time.

    Ordered by time: the first frame of each track in the video, and the track cut to its span.
    """
    rest = sorted(stretch.tracks, key=lambda track: -track.area)
    chosen = [stretch.tracks[speaker] if speaker is not None else rest[0]]
    for track in rest:
        first, end = track.span
        if all(end <= other.span[0] or other.span[1] <= first for other in chosen):
            chosen.append(track)
    for track in sorted(chosen, key=lambda track: track.span[0]):
        yield stretch.start + track.span[0], track.part(*track.span)


def _rejected_gap(scan: FaceScan, start: int, stop: int, params: PreprocessParams) -> Iterator[RejectedSegment]:
    """Yields a rejected segment for frames without a tracked face, unless the gap is short enough to be bridged."""
    if stop - start > params.max_gap_frames + params.detect_every - 1:
        yield _rejected_without_track(scan, start, stop, params)


def _rejected_without_track(scan: FaceScan, start: int, stop: int, params: PreprocessParams) -> RejectedSegment:
    num_seen = sum(bool(faces) for faces in scan.faces[start:stop])
    num_turned = sum(bool(count) for count in scan.turned[start:stop])
    if num_turned > num_seen:
        return RejectedSegment(
            start,
            stop,
            Reason.FACE_TURNED,
            f"a face on its side or upside down in {num_turned} of {num_seen + num_turned} frames with a face; at most "
            "45 degrees of roll are allowed: turn the video upright, or set preprocess.rolled_faces in params.yaml to "
            "align",
        )
    if num_seen == 0:
        detail = f"no face was found (params.yaml: preprocess.detector_max_px {params.detector_max_px})"
        return RejectedSegment(start, stop, Reason.NO_FACE, detail)
    if stop - start < params.min_frames:
        return RejectedSegment(start, stop, Reason.TOO_SHORT, _too_few(stop - start, params))
    return RejectedSegment(
        start,
        stop,
        Reason.FACE_LOST,
        f"faces in {num_seen} frames, but too briefly or at the same time as the chosen face (params.yaml: "
        f"preprocess.min_frames {params.min_frames}, max_gap_frames {params.max_gap_frames}, choose_face "
        f"{params.choose_face})",
    )


def _too_few(num_frames: int, params: PreprocessParams) -> str:
    return f"only {num_frames} frames (params.yaml: preprocess.min_frames {params.min_frames})"


def _segments_of(
    track: FaceTrack, scan: FaceScan, begin: int, with_sound: range, params: PreprocessParams
) -> Iterator[Segment | RejectedSegment]:
    """Segments of ``track``, split at the maximum clip length. Its first row is frame ``begin``.

    ``with_sound`` is the range of the video's frames with audio.
    """
    num_frames = len(track.boxes)
    first, end = max(0, with_sound.start - begin), min(num_frames, with_sound.stop - begin)
    if end - first < params.min_frames:
        yield RejectedSegment(begin, begin + num_frames, Reason.TOO_SHORT, _too_few(max(0, end - first), params))
        return
    if params.rolled_faces == "align":
        faces, rolls = smooth_rolled_faces(track, params.smooth_frames)
    else:
        faces, rolls = smooth_faces(track, params.smooth_frames), np.zeros(num_frames)
    score = float(track.scores[track.is_seen].mean())
    num_searched = sum(faces_there is not None for faces_there in scan.faces[begin : begin + num_frames])
    missing = 1 - np.count_nonzero(track.is_seen) / num_searched
    whole = Segment(begin + first, begin + end, faces[first:end], rolls[first:end], score, float(missing))
    if whole.face_px < params.min_face_px:
        yield RejectedSegment(
            begin,
            begin + num_frames,
            Reason.FACE_TOO_SMALL,
            f"the face is {whole.face_px:.0f} px high (params.yaml: preprocess.min_face_px {params.min_face_px})",
        )
        return
    yield from _in_equal_parts(whole, params)


def _in_equal_parts(whole: Segment, params: PreprocessParams) -> Iterator[Segment]:
    num_frames = whole.stop - whole.start
    num_parts = math.ceil(num_frames / round(params.max_clip_s * FPS))
    edges = [num_frames * k // num_parts for k in range(num_parts + 1)]
    for a, b in itertools.pairwise(edges):
        start, stop = whole.start + a, whole.start + b
        yield replace(whole, start=start, stop=stop, faces=whole.faces[a:b], rolls=whole.rolls[a:b])
