"""Which frames are searched for faces, and what is found in the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.dubbing.face_path import FaceChoice, FollowSettings, find_faces
from pipeline.dubbing.face_search import SparseSearch
from pipeline.faces.any_roll import any_roll_detectors_by_zoom
from pipeline.faces.detector import FaceDetector
from pipeline.media.file import MediaFile
from pipeline.media.picture import to_bgr
from pipeline.media.shots import ChangeMeter
from tests.support.dub_scenes import face_in

BOX, OTHER = np.array([20.0, 20, 60, 60]), np.array([100.0, 20, 120, 40])
MOTION = np.array([0.2, -0.1, 0.2, 0])


class Script:
    """Finds the faces that ``boxes_at(frame)`` lists in frames whose first pixel is their number."""

    max_px = 160

    def __init__(self, boxes_at):
        self._boxes_at = boxes_at
        self.searched = []

    def of_video(self):
        return self

    def detect_reduced(self, reduced_bgr, whole):
        frame = int(reduced_bgr[0, 0, 0])
        self.searched.append(frame)
        return [face_in(np.array(box, float)) for box in self._boxes_at(frame)]

    def detect(self, frame_bgr):
        raise AssertionError


def pictures(num, grey=lambda k: 90):
    for k in range(num):
        image = np.full((72, 96, 3), grey(k), np.uint8)
        image[0, 0] = k
        yield image


def search(boxes_at, num, fps=25.0, **options):
    """The frames that are searched, and the boxes of the first face of each frame."""
    script, meter = Script(boxes_at), ChangeMeter()
    found = list(SparseSearch(script, meter, fps)(pictures(num, **options)))
    assert len(meter.changes) == len(found) == num
    return sorted(script.searched), found


@pytest.mark.parametrize(
    ("num", "fps", "expected"),
    [
        (10, 25.0, [0, 3, 6, 9]),
        (9, 25.0, [0, 3, 6, 8]),
        (2, 25.0, [0, 1]),
        (1, 25.0, [0]),
        (18, 50.0, [0, 6, 12, 17]),
        (18, 240.0, [0, 8, 16, 17]),
        (5, 12.5, [0, 2, 4]),
        (4, 3.0, [0, 1, 2, 3]),
    ],
)
def test_a_still_face_is_searched_in_few_frames(num, fps, expected):
    searched, found = search(lambda k: [BOX, OTHER], num, fps)
    assert searched == expected
    for faces in found:
        np.testing.assert_array_equal([face.box for face in faces], [BOX, OTHER])


def test_an_even_motion_is_interpolated():
    searched, found = search(lambda k: [OTHER, BOX + k * MOTION], 13)
    assert searched == [0, 3, 6, 9, 12]
    for k, (_, face) in enumerate(found):
        expected = face_in(BOX + k * MOTION)
        np.testing.assert_allclose(face.box, expected.box)
        np.testing.assert_allclose(face.landmarks, expected.landmarks)


@pytest.mark.parametrize(
    "boxes_at",
    [
        lambda k: [BOX + 3 * k],  # quick
        lambda k: [BOX] if k < 6 else [],
        lambda k: [BOX] if k < 6 else [BOX, OTHER],
        lambda k: [BOX] if k < 6 else [BOX + 5],
        lambda k: [],
        lambda k: [BOX, BOX + 1],  # which is which is not certain
    ],
)
def test_other_faces_are_those_of_the_frames(boxes_at):
    searched, found = search(boxes_at, 13)
    assert {5, 6} <= set(searched)
    for k, faces in enumerate(found):
        np.testing.assert_array_equal([face.box for face in faces], list(boxes_at(k)))


def test_frames_around_a_cut_are_searched():
    searched, _ = search(lambda k: [BOX], 13, grey=lambda k: 90 if k < 8 else 130)
    assert searched == [0, 3, 6, 7, 8, 9, 12]


@pytest.mark.parametrize("name", ["grid/s1/lwwm2p.mp4", "wild/hq_bbaf2a.mpg"])
def test_the_boxes_of_real_faces_are_those_of_a_search_of_each_frame(shared_data: Path, name: str) -> None:
    """They differ by less than a pixel of a crop of 96 px."""
    settings = FollowSettings(12, 15, 12.0)

    class Each:
        def __init__(self, detector: FaceDetector) -> None:
            self.detect = detector.detect

    with MediaFile(shared_data / name) as media:
        frames = [timed.image for timed in media.stored_frames()]
    detector = next(any_roll_detectors_by_zoom(0.6, 160, 720))
    boxes = []
    for one, shown in ((detector, frames), (Each(detector), map(to_bgr, frames))):
        found = find_faces(lambda shown=shown: shown, [one], 25.0, settings)  # type: ignore[misc]
        boxes.append(found.follow([FaceChoice(range(len(found.paths)), 0, len(frames))], settings, "square").boxes)
    assert np.abs(boxes[0] - boxes[1]).max() < np.ptp(boxes[1][0, ::2]) / 96
