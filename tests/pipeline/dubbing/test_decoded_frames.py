"""How often the frames of a video are decoded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.dubbing.decoded_frames import DecodedFrames
from pipeline.media.video import TimedFrame

FRAME_BYTES = 4 * 4 * 3


class Decoder:
    """Ten frames whose pixels are their number."""

    def __init__(self) -> None:
        self.num_decoded = 0

    def __call__(self) -> Iterator[TimedFrame]:
        for k in range(10):
            self.num_decoded += 1
            yield TimedFrame(k / 25, (k + 1) / 25, np.full((4, 4, 3), k, np.uint8))


@pytest.mark.parametrize(
    ("num_frames", "max_bytes", "num_decoded"),
    [
        (10, 10 * FRAME_BYTES, 10),
        (5, 10 * FRAME_BYTES, 10),  # more frames than stated, but they fit
        (10, 10 * FRAME_BYTES - 1, 30),
        (5, 9 * FRAME_BYTES, 30),
        (0, 99 * FRAME_BYTES, 30),
    ],
)
def test_frames_that_fit_are_decoded_once(num_frames: int, max_bytes: int, num_decoded: int) -> None:
    decoder = Decoder()
    frames = DecodedFrames(decoder, num_frames, max_bytes)
    for _ in range(3):
        assert [int(frame.image[0, 0, 0]) for frame in frames()] == list(range(10))
    assert decoder.num_decoded == num_decoded


def test_a_pass_that_ends_early_is_continued() -> None:
    decoder = Decoder()
    frames = DecodedFrames(decoder, 10, 10 * FRAME_BYTES)
    for stop in (4, 4, 7, 10, 10):
        shown = [round(25 * frame.time_s) for frame in itertools.islice(frames(), stop)]
        assert shown == list(range(stop))
    assert decoder.num_decoded == 4 + 7 + 10
    assert len(list(frames())) == 10
