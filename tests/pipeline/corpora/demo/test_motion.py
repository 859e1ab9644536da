from __future__ import annotations

from dataclasses import astuple

import numpy as np

from pipeline.corpora.demo.motion import head_track
from pipeline.corpora.demo.portrait import HeadPose
from pipeline.corpora.demo.speech import Phone

STRESS = "\N{MODIFIER LETTER VERTICAL LINE}"
PHONES = [Phone(f"{STRESS}a", 0.5, 0.8), Phone("t", 0.8, 0.9), Phone(f"{STRESS}e", 1.6, 1.9)]


def track(motion: float) -> list[HeadPose]:
    return head_track(np.random.default_rng(3), PHONES, 75, motion=motion)


def position(poses: list[HeadPose]) -> np.ndarray:
    return np.array([(pose.x, pose.y, pose.roll, pose.zoom, pose.yaw, pose.pitch) for pose in poses])


def test_the_head_moves_in_proportion_to_the_factor() -> None:
    whole, half, still = (position(track(motion)) for motion in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(np.ptp(still, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(half - still, (whole - still) / 2, atol=1e-12)
    assert (np.ptp(whole, axis=0) > 0.01).all()


def test_blinks_and_gaze_do_not_depend_on_the_factor() -> None:
    whole, still = track(1.0), track(0.0)
    assert [(pose.shut, pose.gaze, pose.brow) for pose in whole] == [
        (pose.shut, pose.gaze, pose.brow) for pose in still
    ]
    assert astuple(whole[0]) != astuple(still[0])
