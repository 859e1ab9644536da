"""Which frames without a face are searched again, and with which input sizes."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from pipeline.faces.any_roll import any_roll_detectors_by_zoom, detectors_with_gap_search
from pipeline.faces.detector import detectors_by_zoom, larger_detectors
from pipeline.faces.gaps import DENSE_FRAMES, GapDetector, GapSearch, detect_in_gaps
from tests.support.drawn_face import draw_face
from tests.support.dub_scenes import ScriptedDetector, face_in

FRAME = np.zeros((4, 4, 3), np.uint8)
BOX = [20.0, 20, 60, 60]


class Numbers:
    """Detects nothing but in the ``shown`` frames, and records the numbers of the frames it gets."""

    def __init__(self, shown=()):
        self.shown, self.searched = shown, []

    def detect(self, frame_bgr):
        self.searched.append(int(frame_bgr[0, 0, 0]))
        return [face_in(np.array(BOX))] if self.searched[-1] in self.shown else []


def frames(num):
    return [np.full((4, 4, 3), number, np.uint8) for number in range(num)]


def test_only_missing_frames_are_searched():
    detector = Numbers(shown=[3])
    search = GapSearch(detector, np.array([False, True, False, True]))
    assert [len(search(frame)) for frame in frames(5)] == [0, 0, 0, 1, 0]
    assert detector.searched == [1, 3]


def test_a_long_gap_is_searched_sparsely_until_a_face_is_found():
    empty = Numbers()
    search = GapSearch(empty, [True] * 30)
    for frame in frames(30):
        search(frame)
    assert empty.searched == [*range(DENSE_FRAMES), *range(DENSE_FRAMES, 30, DENSE_FRAMES)]
    late = Numbers(shown=range(17, 23))
    search = GapSearch(late, [True] * 30)
    found = [number for number, frame in enumerate(frames(30)) if search(frame)]
    assert found == [20, 21, 22]  # from the first searched frame that shows it


@pytest.mark.parametrize("longer_side", [160, 640, 641, 1920, 3840])
def test_small_frames_need_no_larger_detectors(longer_side):
    """Up to 640 px, the largest frame of GRID, LRS2 and the demo, the detectors are those of preprocessing."""
    usual = list(any_roll_detectors_by_zoom(0.6, 160, longer_side))
    both = list(detectors_with_gap_search(0.6, 160, longer_side))
    assert [a is b for a, b in zip(usual, both, strict=False)] == [True] * len(usual)
    further = both[len(usual) :]
    assert all(isinstance(detector, GapDetector) for detector in further)
    assert len(further) == sum(side < longer_side for side in (640, 1280))


def test_a_larger_detector_finds_what_preprocessing_does_not():
    """A drawn face of 40 px in 1280x720."""
    image = np.full((720, 1280, 3), (120, 110, 100), np.uint8)
    image[300:372, 600:672] = cv2.resize(draw_face(80, 80), (72, 72), interpolation=cv2.INTER_AREA)
    *_, largest = detectors_by_zoom(0.6, 160, 1280)
    assert not largest.detect(image)
    assert next(larger_detectors(0.6, 160, 1280)).detect(image)


def test_gaps_between_searched_frames_of_a_score_are_filled():
    here, elsewhere = face_in(np.array(BOX)), face_in(np.array([100.0, 20, 120, 40]))
    found = [[here], None, [elsewhere], None, []]
    detector = ScriptedDetector(every=[BOX])
    filled = detect_in_gaps(detector, itertools.repeat(FRAME, 5), found, np.array(BOX))
    assert [None if faces is None else len(faces) for faces in filled] == [1, None, 2, None, 1]
    assert detector.calls == 2
