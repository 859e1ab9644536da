from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.shots import ChangeMeter, find_cuts, shots_of
from tests.support.media_readers import iter_frames


def changes_of(frames: list[np.ndarray]) -> list[float]:
    meter = ChangeMeter()
    for frame in frames:
        meter.add(frame)
    return meter.changes


def flat(level: int) -> np.ndarray:
    return np.full((90, 120, 3), level, np.uint8)


def test_changes_are_mean_grey_levels() -> None:
    assert changes_of([flat(10), flat(10), flat(35), flat(30)]) == [0, 0, 25, 5]


def test_a_cut_is_the_first_frame_of_the_new_shot() -> None:
    assert find_cuts(changes_of([flat(10)] * 5 + [flat(60)] * 4), 4) == [5]
    assert find_cuts(changes_of([flat(10)] * 5 + [flat(60)]), 4) == [5]
    assert find_cuts(changes_of([flat(10)] + [flat(60)] * 3), 4) == [1]


@pytest.mark.parametrize(
    "frames",
    [
        [flat(20 * k) for k in range(10)],  # a fade or a pan changes every frame
        [flat(10)] * 4 + [flat(200)] + [flat(10)] * 4,  # a flash
        [flat(10)] * 5 + [flat(13)] * 5,  # less than asked for
        [flat(10)],
        [],
    ],
)
def test_what_is_no_cut(frames: list[np.ndarray]) -> None:
    assert find_cuts(changes_of(frames), 4) == []


def test_no_cut_is_found_when_none_is_wanted() -> None:
    assert find_cuts([0, 0, 200, 0], 0) == []


def test_shots_cover_the_video() -> None:
    assert shots_of(10, [4, 7]) == [(0, 4), (4, 7), (7, 10)]
    assert shots_of(10, []) == [(0, 10)]


def test_joins_of_real_clips_are_found_and_nothing_within_them(shared_data) -> None:
    paths = sorted((shared_data / "grid" / "s26").glob("*.mpg"))[:3] + sorted(
        path for path in (shared_data / "wild").glob("*.mpg") if not path.name.startswith("hq_")
    )
    meter, joins, count = ChangeMeter(), [], 0
    for path in paths:
        for frame in iter_frames(path, 25):
            meter.add(frame.image)
            count += 1
        joins.append(count)
    found = find_cuts(meter.changes, 4.0)
    assert set(found) <= set(joins[:-1])
    assert len(found) >= len(joins) - 2  # one join in a hundred looks alike


def test_a_watched_frame_is_added_before_it_is_yielded() -> None:
    meter, changes = ChangeMeter(), []
    for _ in meter.watch([flat(10), flat(35)]):
        changes.append(list(meter.changes))
    assert changes == [[0], [0, 25]]
