"""Any length out of any video, forwards and backwards, from one pass or a small spool file."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.dubbing.playback import play, runs


@pytest.mark.parametrize(
    ("num_source", "num_shown", "fill", "expected"),
    [
        (4, 3, "pingpong", [0, 1, 2]),
        (4, 11, "pingpong", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]),
        (4, 9, "loop", [0, 1, 2, 3, 0, 1, 2, 3, 0]),
        (1, 3, "pingpong", [0, 0, 0]),
        (2, 5, "pingpong", [0, 1, 0, 1, 0]),
        (3, 0, "loop", []),
    ],
)
def test_order(num_source, num_shown, fill, expected):
    assert list(itertools.chain(*runs(num_source, num_shown, fill))) == expected


def test_nothing_to_show():
    with pytest.raises(ValueError, match="num_source must be at least 1"):
        list(runs(0, 5, "loop"))


@pytest.mark.parametrize("spool_frames", [0, 1, 3, 7, 100])
@pytest.mark.parametrize("num_shown", [5, 7, 12, 31])
def test_frames_match_their_index_whatever_the_spool(tmp_path, num_shown, spool_frames):
    video = np.random.default_rng(1).integers(0, 256, (7, 4, 6, 3), dtype=np.uint8)
    opened = []

    def open_frames():
        opened.append(1)
        return iter(video)

    shown = list(play(open_frames, 7, num_shown, "pingpong", tmp_path, spool_frames * video[0].nbytes))
    assert [index for index, _ in shown] == list(itertools.chain(*runs(7, num_shown, "pingpong")))
    for index, frame in shown:
        np.testing.assert_array_equal(frame, video[index])
    if spool_frames >= 7:
        forwards = sum(run.step == 1 for run in runs(7, num_shown, "pingpong"))
        assert len(opened) <= forwards + 1  # spooled once, however often it runs backwards
    assert list(tmp_path.iterdir()) == []
