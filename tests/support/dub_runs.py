"""Whole dubs of small videos with a generator that is drawn.

``python -m tests.support.dub_runs FACE AUDIO OUT`` is such a dub, which signals end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from pipeline.core.signals import exit_on_signals
from pipeline.dubbing import DubbedFace, DubSummary
from pipeline.dubbing.dub import dub_file
from pipeline.dubbing.face_path import Followed, FollowSettings
from pipeline.dubbing.settings import DubSettings
from pipeline.inference.generator_inputs import GeneratorState
from pipeline.inference.generator_kinds import OURS
from tests.support.dub_scenes import ScriptedDetector

FOLLOW = FollowSettings(max_gap_frames=3, smooth_frames=7, cut_change=4.0)


FACE = [30.0, 10, 90, 70]


class Draw:
    """Stands in for a generator with the audio windows of ours."""

    geometry, crop_px = "square", 96

    def __init__(self, draw):
        self._draw = draw

    def audio_windows(self, voice, frames, fps):
        return OURS.audio_windows(voice, frames, fps)

    def __call__(self, crops, windows, references, state):
        assert isinstance(state, GeneratorState)
        return self._draw(crops, windows, references)


@Draw
def darken(crops, windows, references):
    """Black mouths in the faces they belong to, if there is one window per crop."""
    assert windows.shape == (len(crops), 80, 16)
    drawn = crops.copy()
    drawn[:, 60:86, 28:68] = 0
    return drawn


def followed(boxes):
    return Followed(boxes, np.zeros(len(boxes), np.int64), ())


def run(face, audio, out, draw=darken, detector=None, **settings):
    detector = detector or ScriptedDetector(every=[FACE])
    return dub_file(face, audio, out, draw, lambda longer_side: [detector], DubSettings(follow=FOLLOW, **settings))


def summary_of(path: Path, num_frames: int, face: DubbedFace) -> DubSummary:
    """The summary of a video at 25 fps in which one face was dubbed."""
    return DubSummary(
        path=path,
        num_frames=num_frames,
        num_missing=0,
        num_dubbed=face.num_frames,
        who="largest",
        faces=(face,),
        width=160,
        height=160,
        fps=25.0,
        seconds=1.0,
        notes=(),
    )


if __name__ == "__main__":
    exit_on_signals()
    run(*map(Path, sys.argv[1:]))
