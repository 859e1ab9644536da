from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.corpora.demo.portrait import HeadPose, MouthShape, Portrait, make_look
from pipeline.faces.detector import YuNetDetector

SHAPES = (
    MouthShape(),
    MouthShape(seal=1.0),
    MouthShape(open=1.0, jaw=1.0),
    MouthShape(open=0.3, jaw=0.3, width=-1.0),
    MouthShape(open=0.2, teeth=1.0, width=0.9),
)


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return Portrait(make_look(0, seed=3), 160)


def mouth_of(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return image[98:132, 58:102].astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("speaker", range(12))
def test_the_detector_finds_one_face_of_every_speaker_in_every_pose(speaker: int) -> None:
    face = Portrait(make_look(speaker, seed=1234), 160)
    detector = YuNetDetector(min_score=0.7)
    poses = (HeadPose(), HeadPose(shut=1.0, roll=0.06), HeadPose(x=0.07, yaw=0.13), HeadPose(y=0.06, pitch=0.1))
    for index, shape in enumerate(SHAPES):
        found = detector.detect(face.render(shape, poses[index % len(poses)], index))
        assert len(found) == 1
        left, right = found[0].landmarks[3:5]
        width = found[0].box[2] - found[0].box[0]
        assert 0.16 * 160 < right[0] - left[0] < 0.6 * width


def test_a_seal_closes_the_mouth_for_any_other_controls(portrait: Portrait) -> None:
    shut = portrait.render(MouthShape(seal=1.0), HeadPose(), 0)
    forced = portrait.render(MouthShape(seal=1.0, open=1.0, teeth=1.0, tuck=1.0), HeadPose(), 0)
    np.testing.assert_array_equal(shut, forced)


def test_controls_change_the_mouth_and_leave_the_eyes(portrait: Portrait) -> None:
    rest = portrait.render(SHAPES[0], HeadPose(), 0)
    for shape in SHAPES[1:]:
        image = portrait.render(shape, HeadPose(), 0)
        assert np.abs(mouth_of(image) - mouth_of(rest)).mean() > 3.0
        np.testing.assert_array_equal(image[:80], rest[:80])


def test_blinking_changes_the_eyes_and_leaves_the_mouth(portrait: Portrait) -> None:
    rest = portrait.render(SHAPES[0], HeadPose(), 0)
    blink = portrait.render(SHAPES[0], HeadPose(shut=1.0), 0)
    np.testing.assert_array_equal(mouth_of(blink), mouth_of(rest))
    assert np.abs(blink[60:85].astype(float) - rest[60:85]).mean() > 2.0


def test_a_frame_does_not_depend_on_earlier_frames(portrait: Portrait) -> None:
    first = portrait.render(SHAPES[0], HeadPose(), 5)
    portrait.render(SHAPES[2], HeadPose(shut=1.0, yaw=0.1), 6)
    np.testing.assert_array_equal(portrait.render(SHAPES[0], HeadPose(), 5), first)


def test_speakers_differ() -> None:
    looks = [make_look(speaker, seed=1) for speaker in range(24)]
    assert len({look.skin for look in looks}) == 24
    assert len({(look.hair_style, look.beard, look.has_glasses) for look in looks}) >= 10
    assert make_look(3, seed=1) == looks[3] != make_look(3, seed=2)
