"""Which stretches of a video become clips: one shot, one face that stays, neither too short nor too long."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.media.faces import Detection, FaceTrack, link_detections, main_track, smooth_faces
from pipeline.media.shots import find_cuts, shots_of
from pipeline.media.talking import speaking_track
from pipeline.params import PreprocessParams
from pipeline.preprocess.footage import Survey
from pipeline.preprocess.reasons import Reason, RefusedError


@dataclass(frozen=True)
class Piece:
    """Frames ``start`` to ``stop`` of the video, with one face in all of them.

    ``faces: float64 [stop - start, 3]``: centre x, centre y, half-size in source pixels, smoothed. Of the whole
    appearance of the face: ``score`` is the detector's mean confidence, ``missing`` the share of the frames looked at
    without it.
    """

    start: int
    stop: int
    faces: NDArray[np.float64]
    score: float
    missing: float

    @property
    def face_px(self) -> float:
        return 2 * float(np.median(self.faces[:, 2]))


@dataclass(frozen=True)
class Refusal:
    """A stretch that is left out, and why."""

    start: int
    stop: int
    reason: Reason
    detail: str


def find_pieces(
    found: Survey,
    frames: Iterable[NDArray[np.uint8]],
    samples: NDArray[np.float32],
    params: PreprocessParams,
    sound_delay_s: float | Fraction = 0,
) -> list[Piece | Refusal]:
    """The video's pieces in order; what is longer than a gap that is bridged is in a piece or a refusal.

    ``frames`` are looked through again only where several faces are candidates; ``samples`` are silence before
    ``sound_delay_s``. Raises RefusedError where picture and sound do not belong together at all.
    """
    _require_equal_length(len(found.faces), len(samples), params)
    stretches = [
        stretch
        for shot in shots_of(len(found.faces), find_cuts(found.changes, params.cut_change))
        for stretch in _between_gaps(found.faces, shot, _longest_gap(params))
    ]
    candidates = [_tracks_in(found, stretch, params) for stretch in stretches]
    speakers = _speakers(stretches, candidates, frames, samples, params)
    heard = range(int(sound_delay_s * int(FPS)), math.ceil(len(samples) / SAMPLE_RATE_HZ * FPS - 1e-9))
    pieces: list[Piece | Refusal] = []
    for stretch, tracks, speaker in zip(stretches, candidates, speakers, strict=True):
        track = tracks[speaker] if speaker is not None else main_track(tracks)
        if track is None:
            pieces.append(Refusal(*stretch, Reason.NO_FACE, "no face"))
        else:
            pieces += _outcomes_of(track, found, stretch, heard, params)
    return pieces


def num_kept_frames(pieces: Iterable[Piece | Refusal]) -> int:
    return sum(piece.stop - piece.start for piece in pieces if isinstance(piece, Piece))


def _require_equal_length(num_frames: int, num_samples: int, params: PreprocessParams) -> None:
    picture_s, sound_s = num_frames / FPS, num_samples / SAMPLE_RATE_HZ
    if abs(picture_s - sound_s) > params.max_length_mismatch_s:
        raise RefusedError(
            Reason.LENGTH_MISMATCH,
            f"{picture_s:.2f} s of picture, {sound_s:.2f} s of sound "
            f"(params.yaml: preprocess.max_length_mismatch_s {params.max_length_mismatch_s})",
        )


def _longest_gap(params: PreprocessParams) -> int:
    """Frames without the face that are bridged, those between it and frames that are not looked at among them."""
    return params.max_gap_frames + params.detect_every - 1


def _between_gaps(
    faces: Sequence[Sequence[Detection] | None], shot: tuple[int, int], max_gap: int
) -> list[tuple[int, int]]:
    """The shot, cut where nobody is seen for over ``max_gap`` frames; such a gap is a stretch of its own."""
    start, stop = shot
    seen = [index for index in range(start, stop) if faces[index]]
    if not seen:
        return [shot]
    edges = [start]
    for last, following in itertools.pairwise([start - 1, *seen, stop]):
        if following - last - 1 > max_gap:
            edges += [last + 1, following]
    return [(a, b) for a, b in itertools.pairwise([*edges, stop]) if a < b]


def _tracks_in(found: Survey, stretch: tuple[int, int], params: PreprocessParams) -> list[FaceTrack]:
    """Faces of one stretch; rows count from its first frame."""
    return link_detections(found.faces[slice(*stretch)], params.max_gap_frames, params.detect_every)


def _speakers(
    stretches: Sequence[tuple[int, int]],
    candidates: Sequence[Sequence[FaceTrack]],
    frames: Iterable[NDArray[np.uint8]],
    samples: NDArray[np.float32],
    params: PreprocessParams,
) -> list[int | None]:
    """Per stretch the track that speaks, None where that is not asked or cannot be said."""
    if params.choose_face != "speaking" or all(len(tracks) < 2 for tracks in candidates):
        return [None] * len(stretches)
    remaining = iter(frames)
    chosen: list[int | None] = []
    for (start, stop), tracks in zip(stretches, candidates, strict=True):
        shown = itertools.islice(remaining, stop - start)
        if len(tracks) < 2:
            for _ in shown:
                pass
            chosen.append(None)
        else:
            heard = samples[num_samples_of(start) : num_samples_of(stop)]
            chosen.append(speaking_track(tracks, shown, heard))
    return chosen


def _outcomes_of(
    track: FaceTrack, found: Survey, stretch: tuple[int, int], heard: range, params: PreprocessParams
) -> Iterator[Piece | Refusal]:
    """What becomes of one stretch in which a face was chosen; ``heard`` are the video's frames with sound."""
    start, stop = stretch
    seen = np.flatnonzero(track.is_seen) + start
    begin = int(seen[0]) if seen[0] - start > _longest_gap(params) else start
    end = int(seen[-1]) + 1 if stop - 1 - seen[-1] > _longest_gap(params) else stop
    others = "faces are seen, but not the one that was followed (params.yaml: preprocess.choose_face)"
    if begin > start:
        yield Refusal(start, begin, Reason.FACE_LOST, others)
    try:
        yield from _pieces_of(track, found, start, heard, params)
    except RefusedError as refused:
        yield Refusal(begin, end, refused.reason, refused.detail)
    if end < stop:
        yield Refusal(end, stop, Reason.FACE_LOST, others)


def _pieces_of(
    track: FaceTrack, found: Survey, stretch_start: int, heard: range, params: PreprocessParams
) -> Iterator[Piece]:
    """The face from when it is first seen to when it is last, cut where that is longer than a clip may be.

    Raises RefusedError.
    """
    seen = np.flatnonzero(track.is_seen)
    start = max(int(seen[0]), heard.start - stretch_start)
    stop = min(int(seen[-1]) + 1, heard.stop - stretch_start)
    if stop - start < params.min_frames:
        raise RefusedError(
            Reason.TOO_SHORT, f"{max(0, stop - start)} frames (params.yaml: preprocess.min_frames {params.min_frames})"
        )
    faces = smooth_faces(track, params.smooth_frames)
    face_px = 2 * float(np.median(faces[start:stop, 2]))
    if face_px < params.min_face_px:
        raise RefusedError(
            Reason.FACE_TOO_SMALL,
            f"the face is {face_px:.0f} px high (params.yaml: preprocess.min_face_px {params.min_face_px})",
        )
    score = float(track.scores[track.is_seen].mean())
    looked_at = found.faces[stretch_start + seen[0] : stretch_start + seen[-1] + 1]
    missing = 1 - len(seen) / sum(faces is not None for faces in looked_at)
    whole = Piece(stretch_start + start, stretch_start + stop, faces[start:stop], score, missing)
    return _in_equal_parts(whole, params)


def _in_equal_parts(whole: Piece, params: PreprocessParams) -> Iterator[Piece]:
    num_frames = whole.stop - whole.start
    num_parts = math.ceil(num_frames / round(params.max_clip_s * FPS))
    edges = [num_frames * k // num_parts for k in range(num_parts + 1)]
    for a, b in itertools.pairwise(edges):
        yield replace(whole, start=whole.start + a, stop=whole.start + b, faces=whole.faces[a:b])
