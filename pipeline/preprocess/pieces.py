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
from pipeline.media.faces import FaceTrack, link_detections, main_track, smooth_faces
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
    """The video's pieces in order; every shot gives at least a piece or a refusal.

    ``frames`` are looked through again only where several faces are candidates; ``samples`` are silence before
    ``sound_delay_s``. Raises RefusedError where picture and sound do not belong together at all.
    """
    _require_equal_length(len(found.faces), len(samples), params)
    shots = shots_of(len(found.faces), find_cuts(found.changes, params.cut_change))
    candidates = [_tracks_in(found, shot, params) for shot in shots]
    speakers = _speakers(shots, candidates, frames, samples, params)
    heard = range(int(sound_delay_s * int(FPS)), math.ceil(len(samples) / SAMPLE_RATE_HZ * FPS - 1e-9))
    pieces: list[Piece | Refusal] = []
    for (start, stop), tracks, speaker in zip(shots, candidates, speakers, strict=True):
        try:
            track = tracks[speaker] if speaker is not None else main_track(tracks)
            is_looked_at = np.array([faces is not None for faces in found.faces[start:stop]])
            pieces += _pieces_of(track, is_looked_at, start, heard, params)
        except RefusedError as refused:
            pieces.append(Refusal(start, stop, refused.reason, refused.detail))
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


def _tracks_in(found: Survey, shot: tuple[int, int], params: PreprocessParams) -> list[FaceTrack]:
    """Faces of one shot; rows count from its first frame."""
    return link_detections(found.faces[slice(*shot)], params.max_gap_frames, params.detect_every)


def _speakers(
    shots: Sequence[tuple[int, int]],
    candidates: Sequence[Sequence[FaceTrack]],
    frames: Iterable[NDArray[np.uint8]],
    samples: NDArray[np.float32],
    params: PreprocessParams,
) -> list[int | None]:
    """Per shot the track that speaks, None where that is not asked or cannot be said."""
    if params.choose_face != "speaking" or all(len(tracks) < 2 for tracks in candidates):
        return [None] * len(shots)
    remaining = iter(frames)
    chosen: list[int | None] = []
    for (start, stop), tracks in zip(shots, candidates, strict=True):
        shown = itertools.islice(remaining, stop - start)
        if len(tracks) < 2:
            for _ in shown:
                pass
            chosen.append(None)
        else:
            heard = samples[num_samples_of(start) : num_samples_of(stop)]
            chosen.append(speaking_track(tracks, shown, heard))
    return chosen


def _pieces_of(
    track: FaceTrack | None,
    is_looked_at: NDArray[np.bool_],
    shot_start: int,
    heard: range,
    params: PreprocessParams,
) -> Iterator[Piece]:
    """One shot's face, cut where it is longer than a clip may be; ``heard`` are the video's frames with sound.

    Raises RefusedError.
    """
    if track is None:
        raise RefusedError(Reason.NO_FACE, "no face")
    if track.longest_gap > params.max_gap_frames + params.detect_every - 1:
        raise RefusedError(
            Reason.FACE_LOST,
            f"no face for {track.longest_gap} frames in a row "
            f"(params.yaml: preprocess.max_gap_frames {params.max_gap_frames})",
        )
    seen = np.flatnonzero(track.is_seen)
    start, stop = max(int(seen[0]), heard.start - shot_start), min(int(seen[-1]) + 1, heard.stop - shot_start)
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
    missing = 1 - len(seen) / float(np.count_nonzero(is_looked_at[seen[0] : seen[-1] + 1]))
    whole = Piece(shot_start + start, shot_start + stop, faces[start:stop], score, missing)
    return _in_equal_parts(whole, params)


def _in_equal_parts(whole: Piece, params: PreprocessParams) -> Iterator[Piece]:
    num_frames = whole.stop - whole.start
    num_parts = math.ceil(num_frames / round(params.max_clip_s * FPS))
    edges = [num_frames * k // num_parts for k in range(num_parts + 1)]
    for a, b in itertools.pairwise(edges):
        yield replace(whole, start=whole.start + a, stop=whole.start + b, faces=whole.faces[a:b])
