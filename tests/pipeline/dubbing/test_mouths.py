"""Tests of the recurrent state of a generator in a stream of frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pipeline.dubbing.mouths import MouthStream
from pipeline.dubbing.timing import OutputTiming
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.inference.generator_kinds import OURS


class Counter:
    """A generator whose state counts the frames since it began, and whose mouths show the count."""

    geometry, crop_px = "square", 4

    def audio_windows(self, voice, frames, fps):
        return OURS.audio_windows(voice, frames, fps)

    def __call__(self, crops, windows, references, state):
        assert len(crops) == len(windows) == len(references)
        before = state.lstm[0] if state.lstm else 0
        counts = before + 1 + np.arange(len(crops))
        state.lstm = (int(counts[-1]), None)
        return np.zeros_like(crops) + counts[:, None, None, None].astype(np.uint8)


@pytest.mark.parametrize("batch_frames", [1, 2, 3, 9])
@pytest.mark.parametrize(
    ("places", "counts"),
    [
        ([0, 1, 2, 3], [1, 2, 3, 4]),
        ([0, 1, 4, 5, 7], [1, 2, 1, 2, 1]),  # two gaps
        ([3, 4, 5], [1, 2, 3]),  # the stream begins without a face
    ],
)
def test_a_recurrent_generator_starts_anew_after_frames_that_got_no_mouth(places, counts, batch_frames):
    mouths = MouthStream(Counter(), ExtractedAudio.silent(16_000), OutputTiming(Fraction(25), 10))
    crops = np.zeros((len(places), 4, 4, 3), np.uint8)
    batches = [slice(k, k + batch_frames) for k in range(0, len(places), batch_frames)]
    drawn = np.concatenate([mouths(np.array(places)[part], crops[part], crops[part]) for part in batches])
    assert drawn[:, 0, 0, 0].tolist() == counts
