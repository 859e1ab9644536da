"""Roll of faces, and crops that are aligned to it.

Roll is clockwise, in degrees; 0 is upright. A rolled box is an upright box that is rotated about its centre.
"""

from __future__ import annotations

import numpy as np

from pipeline.faces.smooth import smooth_faces, smooth_series
from pipeline.faces.track import FaceTrack
from pipeline.faces.turns import Float64, rolls_of, turns_of

UPRIGHT_DEGREES, ROLLED_DEGREES = 8.0, 16.0
"""Up to the first a face counts as upright; from the second on its crop is aligned wholly, and in between in part."""
_GLITCH_DEGREES = 60.0


def rotated(points: Float64, centres: Float64, degrees: Float64 | float) -> Float64:
    """Rotate ``points: float64 [..., 2]`` clockwise about ``centres``: float64 [..., 2]."""
    angle = np.radians(degrees)
    x, y = np.moveaxis(points - centres, -1, 0)
    turned = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], axis=-1)
    return np.asarray(centres + turned)


def smooth_rolled_faces(track: FaceTrack, width_frames: float) -> tuple[Float64, Float64]:
    """The rows of `smooth_faces` for upright crops, and the roll of each crop in degrees: float64 [N, 5] and [N].

    The roll is smoothed like the places, and 0 where the face is nearly upright. Without a rolled face the rows are
    those of `smooth_faces`. Raises ValueError for a track without a face.
    """
    seen = np.flatnonzero(track.is_seen)
    if len(seen) == 0:
        raise ValueError("the track has no face to smooth")
    stated = rolls_of(track.landmarks[seen])
    frames = np.arange(len(track.boxes))
    filled = np.interp(frames, seen, _unwrapped(stated))
    rolls = _aligned(smooth_series(filled[:, None], width_frames)[:, 0])
    if not rolls.any():
        return smooth_faces(track, width_frames), rolls
    boxes, landmarks = track.boxes.copy(), track.landmarks.copy()
    centres = (boxes[seen, :2] + boxes[seen, 2:]) / 2
    sides = boxes[seen, 2:] - boxes[seen, :2]
    is_on_side = turns_of(landmarks[seen]) % 2 == 1
    sides = np.where(is_on_side[:, None], sides[:, ::-1], sides)
    boxes[seen] = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    levelled = rotated(landmarks[seen], centres[:, None], -rolls[seen, None])
    landmarks[seen] = np.where((rolls[seen] != 0)[:, None, None], levelled, landmarks[seen])
    return smooth_faces(FaceTrack(boxes, landmarks, track.scores), width_frames), rolls


def _unwrapped(rolls: Float64) -> Float64:
    """Rolls without jumps of 360 degrees and without glitches of one or two detections: float64 [N] -> same."""
    units = np.exp(1j * np.radians(rolls))
    if len(units) >= 5:
        padded = np.pad(units, 2, mode="reflect")
        near = np.stack([padded[k : k + len(units)] for k in range(5)])
        median = np.median(near.real, axis=0) + 1j * np.median(near.imag, axis=0)
        is_glitch = np.abs(np.angle(units * median.conj())) > np.radians(_GLITCH_DEGREES)
        units = np.where(is_glitch, median, units)
    return np.asarray(np.degrees(np.unwrap(np.angle(units))))


def _aligned(rolls: Float64) -> Float64:
    """Roll of the crops of faces with these rolls, -180..180."""
    wrapped = (rolls + 180) % 360 - 180
    share = np.clip((np.abs(wrapped) - UPRIGHT_DEGREES) / (ROLLED_DEGREES - UPRIGHT_DEGREES), 0, 1)
    limit = np.minimum(np.abs(wrapped), ROLLED_DEGREES)
    return np.asarray(np.sign(wrapped) * np.where(share < 1, share * limit, np.abs(wrapped)))


def rolled_boxes(boxes: Float64, faces: Float64, rolls: Float64) -> Float64:
    """Rolled boxes of the upright boxes of faces, each rotated about its face's centre: float64 [N, 4].

    ``faces: float64 [N, 5]`` are the rows that the boxes were computed from. Boxes with roll 0 stay as they are.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    shift = rotated(centres, faces[:, :2], rolls) - centres
    return np.where((rolls != 0)[:, None], boxes + np.tile(shift, 2), boxes)
