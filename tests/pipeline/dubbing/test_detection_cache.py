"""The store of detections: what it saves, and when it searches again."""

from __future__ import annotations

import logging
import os
import time

import numpy as np
import pytest

from pipeline.dubbing.detection_cache import DetectionCache
from pipeline.faces import detector as detectors
from pipeline.faces.gaps import GapDetector
from tests.support.dub_scenes import ScriptedDetector, picture

BOXES = {0: [[6.0, 10, 56, 70], [70.5, 10, 124, 74]], 2: [[1.0, 2, 3, 4]]}


def search(cache, video, detectors, frames):
    """What each detector finds in the frames, as numbers."""
    with cache.of_video(video):
        return [
            [
                [[*face.box.tolist(), *face.landmarks.ravel().tolist(), face.score] for face in detector.detect(frame)]
                for frame in frames
            ]
            for detector in cache.wrap(lambda side: detectors)(320)
        ]


@pytest.fixture
def video(make_video):
    return make_video(3)


def test_a_stored_video_is_not_searched_again(video, tmp_path):
    frames = [picture(k) for k in range(3)]
    detectors = [ScriptedDetector(BOXES), ScriptedDetector({1: [[5.0, 6, 7, 8]]})]
    first = search(DetectionCache(tmp_path / "faces", [0.6, 320]), video, detectors, frames)
    idle = [ScriptedDetector(), ScriptedDetector()]
    again = search(DetectionCache(tmp_path / "faces", [0.6, 320]), video, idle, frames)
    assert again == first and [len(found) for found in first[0]] == [2, 0, 1]
    assert [detector.calls for detector in (*detectors, *idle)] == [3, 3, 0, 0]


def test_a_stored_search_of_gaps_remains_one(video, tmp_path):
    frames, cache = [picture(k) for k in range(3)], DetectionCache(tmp_path, [0.6])
    search(cache, video, [GapDetector(ScriptedDetector(BOXES))], frames)
    idle = ScriptedDetector()
    with cache.of_video(video):
        (stored,) = cache.wrap(lambda side: [GapDetector(idle)])(320)
        assert isinstance(stored, GapDetector) and len(stored.detect(frames[0])) == 2
    assert idle.calls == 0


class ReducedDetector(ScriptedDetector):
    max_px = 320

    def of_video(self):
        return self

    def detect_reduced(self, reduced_bgr, whole):
        return self.detect(reduced_bgr)


def test_a_stored_search_of_reduced_frames_remains_one(video, tmp_path):
    frames, cache = [picture(k) for k in range(3)], DetectionCache(tmp_path, [0.6])
    found = []
    for detector, num_calls in ((ReducedDetector(BOXES), 3), (idle := ReducedDetector(), 0)):
        with cache.of_video(video):
            (stored,) = cache.wrap(lambda side, detector=detector: [detector])(320)
            assert isinstance(stored, detectors.ReducedDetector) and stored.max_px == 320
            found.append([[face.box.tolist() for face in stored.detect_reduced(frame, list)] for frame in frames])
        assert detector.calls == num_calls
    assert found[0] == found[1] == [BOXES.get(k, []) for k in range(3)]
    assert idle.calls == 0


def test_a_longer_part_is_searched_from_where_the_stored_one_ends(video, tmp_path):
    frames, cache = [picture(k) for k in range(3)], DetectionCache(tmp_path, [0.6])
    search(cache, video, [ScriptedDetector(BOXES)], frames[:1])
    rest = ScriptedDetector({1: BOXES[2]})
    (found,) = search(cache, video, [rest], frames)
    assert (rest.calls, [len(faces) for faces in found]) == (2, [2, 0, 1])
    idle = ScriptedDetector()
    assert search(cache, video, [idle], frames) == [found] and idle.calls == 0


def test_other_pixels_settings_and_videos_are_searched(video, make_video, tmp_path):
    frames = [picture(k) for k in range(3)]
    search(DetectionCache(tmp_path / "faces", [0.6]), video, [ScriptedDetector(BOXES)], frames)
    cases = (
        (video, [0.6], [frames[0], picture(7), frames[2]], 2),
        (video, [0.7], frames, 3),
        (make_video(4, name="other.mp4"), [0.6], frames, 3),
    )
    for path, settings, shown, num_calls in cases:
        detector = ScriptedDetector()
        search(DetectionCache(tmp_path / "faces", settings), path, [detector], shown)
        assert detector.calls == num_calls


def test_detections_before_an_error_are_stored(video, tmp_path):
    cache, frames = DetectionCache(tmp_path / "faces", [0.6]), [picture(k) for k in range(2)]
    with pytest.raises(ZeroDivisionError), cache.of_video(video):
        (detector,) = cache.wrap(lambda side: [ScriptedDetector(BOXES)])(320)
        detector.detect(frames[0])
        raise ZeroDivisionError
    rest = ScriptedDetector()
    search(cache, video, [rest], frames)
    assert rest.calls == 1


def test_a_damaged_file_and_a_folder_that_cannot_be_written(video, tmp_path, caplog):
    frames = [picture(k) for k in range(3)]
    cache = DetectionCache(tmp_path / "faces", [0.6])
    search(cache, video, [ScriptedDetector(BOXES)], frames)
    (path,) = (tmp_path / "faces").iterdir()
    for content in (path.read_bytes()[:100], b"", b"text"):
        path.write_bytes(content)
        detector = ScriptedDetector(BOXES)
        search(cache, video, [detector], frames)
        assert detector.calls == 3
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        search(DetectionCache(tmp_path / "file", [0.6]), video, [ScriptedDetector(BOXES)], frames)
    assert "the detected faces are not stored" in caplog.text


def test_outside_a_video_nothing_is_stored(video, tmp_path):
    cache = DetectionCache(tmp_path / "faces", [0.6])
    detector = ScriptedDetector(BOXES)
    (wrapped,) = cache.wrap(lambda side: [detector])(320)
    assert wrapped is detector
    assert not (tmp_path / "faces").exists()
    assert np.array_equal(wrapped.detect(picture(0))[0].box, BOXES[0][0])


def test_the_least_recently_used_videos_are_removed_above_the_size(make_video, tmp_path):
    """Each file takes about 1 kB, and two have room."""
    videos = [make_video(num, name=f"{num}.mp4") for num in (1, 2, 3)]
    cache = DetectionCache(tmp_path / "faces", [0.6], max_bytes=2500)

    def num_searched(video):
        detector = ScriptedDetector(BOXES)
        search(cache, video, [detector], [picture(0)])
        return detector.calls

    assert [num_searched(video) for video in videos[:2]] == [1, 1]
    for age_s, path in enumerate(sorted((tmp_path / "faces").iterdir(), key=lambda path: -path.stat().st_mtime_ns)):
        os.utime(path, (time.time() - 100 - age_s,) * 2)
    assert num_searched(videos[0]) == 0  # now used later than the second
    assert num_searched(videos[2]) == 1
    assert [num_searched(videos[0]), num_searched(videos[2])] == [0, 0]
    assert len(list((tmp_path / "faces").iterdir())) == 2
    assert num_searched(videos[1]) == 1
