"""One steady box per frame, or none where nobody is seen."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dubbing.face_path import FollowSettings, find_faces
from pipeline.dubbing.numbered_faces import choices_for
from pipeline.faces.detector import Detection
from pipeline.faces.gaps import GapDetector
from tests.support.dub_scenes import LANDMARKS, ScriptedDetector

SETTINGS = FollowSettings(max_gap_frames=5, smooth_frames=7, cut_change=4.0)
LARGE = [20.0, 20, 60, 60]
SMALL = [100.0, 20, 120, 40]


def largest_of(found):
    return choices_for("largest", found, [], None, 0, found.num_frames)


def follow_largest(frames, detectors, fps=25.0, geometry="square", **options):
    found = find_faces(lambda: frames, detectors, fps, SETTINGS, **options)
    followed = found.follow(largest_of(found), SETTINGS, geometry)
    assert len(missing(followed.boxes)) == found.num_without_face
    return followed


def follow(*scripts, num_frames=40, fps=25.0, **options):
    """One script for each detector that is tried."""
    frames = [np.zeros((4, 4, 3), np.uint8)] * num_frames
    return follow_largest(frames, map(ScriptedDetector, scripts), fps, **options).boxes


def missing(boxes):
    return np.flatnonzero(np.isnan(boxes[:, 0])).tolist()


def test_a_still_face_has_one_tight_square_around_it():
    boxes = follow({k: [LARGE] for k in range(40)})
    np.testing.assert_allclose(boxes, np.tile(boxes[:1], (40, 1)), atol=1e-9)
    x0, y0, x1, y1 = boxes[0]
    assert x1 - x0 == pytest.approx(y1 - y0)
    assert y0 == pytest.approx(20)
    assert x0 <= 20 and x1 >= 60 and y1 >= 60


def test_the_box_of_a_box_generator_is_the_detectors():
    higher = [20.0, 20, 50, 60]
    frames = [np.zeros((4, 4, 3), np.uint8)] * 40
    boxes = follow_largest(frames, [ScriptedDetector(every=[higher])], geometry="box").boxes
    np.testing.assert_allclose(boxes, np.tile([higher], (40, 1)), atol=1e-9)


def test_a_moving_jaw_moves_the_box_half_as_far_as_the_detectors():
    """As in preprocessing: eyes and nose, which stay, have half the say about the centre."""

    class Jaw:
        def __init__(self):
            self.calls = 0

        def detect(self, frame):
            x0, y0, x1, y1 = LARGE
            opening = 3 * np.sin(2 * np.pi * self.calls / 40)  # slow enough for the smoother to let it through
            self.calls += 1
            landmarks = np.array([x0, y0]) + LANDMARKS * [x1 - x0, y1 - y0]
            return [Detection(np.array([x0, y0, x1, y1 + opening]), landmarks, 0.9)]

    frames = [np.zeros((4, 4, 3), np.uint8)] * 80
    steady = follow_largest(frames, [Jaw()]).boxes
    moves = {k: [[*LARGE[:3], LARGE[3] + 3 * np.sin(2 * np.pi * k / 40)]] for k in range(80)}
    led = follow(moves, num_frames=80)  # whose landmarks go with the box
    assert np.ptp(steady[:, 1]) < 0.6 * np.ptp(led[:, 1])


@pytest.mark.parametrize(("gap", "is_bridged"), [(5, True), (6, False)])
def test_short_gaps_are_bridged_and_long_ones_are_not(gap, is_bridged):
    hidden = range(15, 15 + gap)
    boxes = follow({k: [LARGE] for k in range(40) if k not in hidden})
    assert missing(boxes) == ([] if is_bridged else list(hidden))


def test_a_cut_is_not_smoothed_or_bridged():
    """The face leaps by a quarter of its width and grows; for two frames of the second shot nobody is seen."""
    nearer = [26.0, 16, 76, 66]
    script = {k: [LARGE if k < 20 else nearer] for k in range(40) if k not in (20, 21)}
    frames = [np.full((4, 4, 3), 0 if k < 20 else 90, np.uint8) for k in range(40)]
    followed = follow_largest(frames, [ScriptedDetector(script)])
    boxes = followed.boxes
    assert followed.cuts == [20]
    assert missing(boxes) == [20, 21]
    np.testing.assert_allclose(boxes[:20], follow({k: [LARGE] for k in range(20)}, num_frames=20), atol=1e-9)
    np.testing.assert_allclose(boxes[22:], follow({k: [nearer] for k in range(18)}, num_frames=18), atol=1e-9)


def test_gaps_are_measured_in_time():
    hidden = range(15, 25)
    boxes = follow({k: [LARGE] for k in range(40) if k not in hidden}, fps=50.0)
    assert missing(boxes) == []


def test_the_large_face_wins_and_the_other_is_used_where_it_is_absent():
    boxes = follow({k: [SMALL, LARGE] if k < 20 else [SMALL] for k in range(40)})
    centres = (boxes[:, 0] + boxes[:, 2]) / 2
    np.testing.assert_allclose(centres[:20], 40)
    np.testing.assert_allclose(centres[20:], 110)


def test_a_flash_of_a_face_is_not_followed():
    assert missing(follow({10: [LARGE], 11: [LARGE]})) == list(range(40))


def test_a_video_of_three_frames_is_followed():
    assert missing(follow({k: [LARGE] for k in range(3)}, num_frames=3)) == []


def test_nobody():
    assert missing(follow({})) == list(range(40))
    assert follow({}, num_frames=0).shape == (0, 4)


def test_a_face_that_is_not_seen_throughout_is_looked_for_again():
    half, most = ({k: [LARGE] for k in range(num)} for num in (20, 30))
    assert missing(follow(half, most)) == list(range(30, 40))
    assert missing(follow(most, half)) == list(range(30, 40))


def test_a_face_seen_throughout_is_not_looked_for_again():
    tried = []

    def detectors():
        for script in ({k: [LARGE] for k in range(40)}, {}):
            tried.append(script)
            yield ScriptedDetector(script)

    frames = [np.zeros((4, 4, 3), np.uint8)] * 40
    assert missing(follow_largest(frames, detectors()).boxes) == []
    assert len(tried) == 1


def find_with_gaps(script, gap_script, num_frames=40, **options):
    """A search of the whole video, then one of the frames without a face. The k-th call of the latter is the k-th
    frame that lacks one."""
    frames = [np.zeros((4, 4, 3), np.uint8)] * num_frames
    in_gaps = ScriptedDetector(gap_script)
    detectors = [ScriptedDetector(script), GapDetector(in_gaps)]
    return find_faces(lambda: frames, detectors, 25.0, SETTINGS, **options), in_gaps.calls


@pytest.mark.parametrize("window_frames", [1, 8, 40])
def test_a_larger_detector_fills_the_gaps_of_the_same_path(window_frames):
    """10 frames lack the face; the larger detector finds it in 2 of them, and the rest is interpolated."""
    script = {k: [LARGE] for k in range(40) if k not in range(15, 25)}
    found, num_calls = find_with_gaps(script, {3: [LARGE], 4: [LARGE]}, window_frames=window_frames)
    assert (found.num_without_face, len(found.paths), num_calls) == (0, 1, 10)
    followed = found.follow(largest_of(found), SETTINGS, "square")
    np.testing.assert_allclose(followed.boxes, np.tile(followed.boxes[:1], (40, 1)), atol=1e-9)
    assert list(followed.shot_starts) == []


def test_a_face_that_only_the_larger_detector_finds_is_followed():
    found, _ = find_with_gaps({}, {k: [SMALL] for k in range(40)})
    assert [(path.start, path.stop) for path in found.paths] == [(0, 40)]


def test_a_video_without_gaps_needs_no_larger_detector():
    _, num_calls = find_with_gaps({k: [LARGE] for k in range(40)}, {})
    assert num_calls == 0


def test_a_flash_in_a_gap_stays_a_gap():
    found, _ = find_with_gaps({k: [LARGE] for k in range(20)}, {10: [SMALL], 11: [SMALL]})
    assert found.num_without_face == 20


@pytest.mark.parametrize("window_frames", [1, 3, 8, 17])
def test_the_window_of_linking_does_not_matter(window_frames):
    random = np.random.default_rng(2)
    script = {
        k: [(np.array(LARGE) + k + random.normal(0, 0.5, 4)).tolist(), SMALL]
        for k in range(40)
        if k not in (7, 8, 9, 16, 17, 24)
    }
    np.testing.assert_allclose(follow(script, window_frames=window_frames), follow(script), atol=1e-9)
