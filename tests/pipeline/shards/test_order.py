"""The visiting order as a pure function."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.shards.order import plan_epoch


def keys(num_shards: int, clips_per_shard: int) -> dict[str, list[str]]:
    return {f"s{s}": [f"s{s}c{c}" for c in range(clips_per_shard)] for s in range(num_shards)}


@given(
    num_shards=st.integers(1, 8),
    clips=st.integers(1, 6),
    buffer_clips=st.integers(0, 20),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 100),
)
def test_an_epoch_visits_every_clip_once(num_shards: int, clips: int, buffer_clips: int, seed: int, epoch: int) -> None:
    given_keys = keys(num_shards, clips)
    visited = plan_epoch(given_keys, seed, epoch, buffer_clips=buffer_clips).visits
    assert sorted(visit.key for visit in visited) == sorted(key for names in given_keys.values() for key in names)
    assert all(visit.key in given_keys[visit.shard] for visit in visited)


@given(buffer_clips=st.integers(0, 30), seed=st.integers(0, 100))
def test_no_more_than_the_buffer_waits(buffer_clips: int, seed: int) -> None:
    given_keys = keys(6, 10)
    plan = plan_epoch(given_keys, seed, 0, buffer_clips=buffer_clips)
    reading = [key for shard in plan.shards for key in given_keys[shard]]
    for position, visit in enumerate(plan.visits):
        assert reading.index(visit.key) <= position + buffer_clips


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    plans = {(seed, epoch): plan_epoch(keys(4, 5), seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    assert len({tuple(plan.visits) for plan in plans.values()}) == 4
    shuffled_dict = dict(reversed(keys(4, 5).items()))
    assert plan_epoch(shuffled_dict, 1, 1) == plans[1, 1]


def test_first_places_are_shared_fairly() -> None:
    first = [plan_epoch(keys(4, 5), 0, epoch).visits[0].key for epoch in range(2000)]
    counts = [first.count(key) for names in keys(4, 5).values() for key in names]
    assert min(counts) > 60  # 100 expected, standard deviation 10
    assert max(counts) < 140
