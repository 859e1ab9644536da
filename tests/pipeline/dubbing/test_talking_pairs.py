"""Real faces side by side: a large one that is quiet and a small one that talks."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.dubbing.face_path import FollowSettings, find_faces, finer
from pipeline.dubbing.numbered_faces import find_talking, number_faces
from pipeline.faces.detector import detectors_by_zoom
from pipeline.features.samples import float_to_int16
from pipeline.features.speech_activity import ACTIVITY_RATE_HZ, speech_activity
from tests.support.media_readers import read_frames, read_samples

FOLLOW = FollowSettings(max_gap_frames=3, smooth_frames=7, cut_change=4.0)
HEIGHT = 288
SMALL = 0.6
PAIRS = [
    ("grid_speakers/s2_bbil4a_256.webm", "grid/s1/lwwm2p.mp4"),
    ("grid_speakers/s4_bbir6a_256.webm", "grid/s26/lbbo3n.mpg"),
    ("grid/s1/lwwm2p.mp4", "grid_speakers/s10_pwatzn.mp4"),
    ("grid/s26/lbbo3n.mpg", "grid_speakers/s23_priazn.mpg"),
    ("grid/s1/lwwm2p.mp4", "grid_speakers/s24_sbik7p.mp4"),
    ("grid_speakers/s23_priazn.mpg", "grid_speakers/s34_brwq1n.mp4"),
    ("grid_speakers/s23_priazn.mpg", "grid_speakers/s4_swbb9p_256.webm"),
    ("grid_speakers/s2_swwp2s.mpg", "grid_speakers/s1_bbas3a_256.webm"),
    ("grid_speakers/s1_bbas3a_256.webm", "grid_speakers/s2_pwaj5n_256.webm"),
    ("grid_speakers/s4_bbir6a_256.webm", "wild/hq_bbilzs.mpg"),
]
"""The quiet clip and the talking clip of each pair. All are of GRID, and no pair shows one speaker twice.

A clip serves as the quiet one only if it begins with silence. s2_pbbp2s is not among the talking clips: its mouth does
not move with its sound.
"""


def scaled(frames: np.ndarray, height: int) -> list[np.ndarray]:
    width = round(frames.shape[2] * height / frames.shape[1])
    return [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]


def quiet_frames(path: Path, num: int) -> list[np.ndarray]:
    """The frames before the first word, forwards and backwards until there are ``num``."""
    first = np.flatnonzero(speech_activity(float_to_int16(read_samples(path))))[0]
    before = scaled(read_frames(path)[: max(4, int(first / ACTIVITY_RATE_HZ * 25) - 2)], HEIGHT)
    there_and_back = [*before, *before[-2:0:-1]]
    return list(itertools.islice(itertools.cycle(there_and_back), num))


def side_by_side(quiet: Path, talking: Path) -> list[np.ndarray]:
    """``uint8 [288, W, 3]``: the quiet face at the left, the talking one at the right, smaller."""
    small = scaled(read_frames(talking), round(SMALL * HEIGHT))
    large = quiet_frames(quiet, len(small))
    below = np.full((HEIGHT - small[0].shape[0], small[0].shape[1], 3), 110, np.uint8)
    return [np.hstack([left, np.vstack([right, below])]) for left, right in zip(large, small, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(("quiet", "talking", "channels"), [*((*pair, "BGR") for pair in PAIRS), (*PAIRS[0], "RGB")])
def test_the_talking_face_is_found_beside_a_larger_quiet_one(shared_data, quiet, talking, channels):
    frames = side_by_side(shared_data / quiet, shared_data / talking)
    if channels == "RGB":  # red and blue are swapped by mistake
        frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    found = find_faces(lambda: frames, finer(detectors_by_zoom(0.6, 160, frames[0].shape[1])), 25.0, FOLLOW)
    faces = number_faces(found)
    assert len(faces) == 2
    left, right = (found.paths[face.paths[0]] for face in faces)
    assert left.area > 1.3 * right.area and left.boxes[0, 0] < right.boxes[0, 0]
    assert find_talking(found, faces, lambda: frames, read_samples(shared_data / talking)).numbers == [2]
