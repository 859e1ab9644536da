"""One reference a shot: until somebody is out of sight, the video starts over, or the picture is another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.dubbing.reference import ShotReference, ShotStarts


def crops_of(*levels: int) -> np.ndarray:
    return np.stack([np.full((96, 96, 3), level, np.uint8) for level in levels])


def shot_reference(cuts: Sequence[int] = ()) -> Callable[[np.ndarray, Sequence[int]], np.ndarray]:
    begins_shot, first_of_shot = ShotStarts(cuts), ShotReference()
    return lambda crops, sources: first_of_shot(crops, list(map(begins_shot, crops, sources)))


def levels_of(references: np.ndarray) -> list[int]:
    return references[:, 0, 0, 0].tolist()


def test_the_first_frame_serves_the_whole_shot_across_batches() -> None:
    reference = shot_reference()
    assert levels_of(reference(crops_of(10, 20, 30), [4, 5, 6])) == [10, 10, 10]
    assert levels_of(reference(crops_of(40, 50), [7, 8])) == [10, 10]


def test_a_video_that_runs_backwards_is_the_same_shot() -> None:
    assert levels_of(shot_reference()(crops_of(10, 20, 10, 5), [0, 1, 0, 1])) == [10] * 4


def test_a_frame_that_is_shown_again_is_the_same_shot() -> None:
    assert levels_of(shot_reference()(crops_of(10, 20, 20, 30), [0, 1, 1, 2])) == [10] * 4
    assert levels_of(shot_reference(cuts=[1])(crops_of(10, 20, 20, 30), [0, 1, 1, 2])) == [10, 20, 20, 20]


def test_frames_left_out_and_starting_over_begin_a_shot() -> None:
    assert levels_of(shot_reference()(crops_of(10, 20, 30, 40), [0, 1, 5, 6])) == [10, 10, 30, 30]
    assert levels_of(shot_reference()(crops_of(10, 20, 30, 12), [0, 1, 2, 0])) == [10, 10, 10, 12]


def test_a_cut_begins_a_shot_and_a_slow_change_does_not() -> None:
    assert levels_of(shot_reference()(crops_of(10, 200, 190), [0, 1, 2])) == [10, 200, 200]
    faded = range(10, 250, 20)
    assert set(levels_of(shot_reference()(crops_of(*faded), list(range(len(faded)))))) == {10}


def test_a_cut_between_pictures_that_are_alike_begins_a_shot_in_both_directions() -> None:
    reference = shot_reference(cuts=[2])
    assert levels_of(reference(crops_of(10, 11, 20, 21), [0, 1, 2, 3])) == [10, 10, 20, 20]
    assert levels_of(reference(crops_of(20, 11, 10), [2, 1, 0])) == [20, 11, 11]
