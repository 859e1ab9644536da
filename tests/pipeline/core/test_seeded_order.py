"""The seeded order and its uses. Results are pinned, since splits, shards and pairings must never change."""

from __future__ import annotations

from random import Random

from pipeline.core.seeded_order import seeded_order
from pipeline.corpora.manifest import ClipRecord
from pipeline.corpora.split import assign_splits
from pipeline.evaluation.protocol import Pair, derange
from pipeline.preprocess.plan import plan_shards

IDS = [f"s{k}/c{k % 3}" for k in range(8)]
ORDER = ["s4/c1", "s3/c0", "s1/c1", "s2/c2", "s5/c2", "s0/c0", "s6/c0", "s7/c1"]
"""The order for seed 1234."""


def test_the_order_is_pinned_and_depends_only_on_the_names() -> None:
    assert seeded_order(IDS, 1234) == ORDER
    assert seeded_order(Random(0).sample(IDS, len(IDS)), 1234) == ORDER
    assert seeded_order(IDS, 7) == ["s4/c1", "s1/c1", "s2/c2", "s3/c0", "s5/c2", "s6/c0", "s7/c1", "s0/c0"]
    assert seeded_order(IDS[1:], 1234) == [name for name in ORDER if name != IDS[0]]


def test_items_with_equal_names_keep_their_order() -> None:
    items = [("b", 1), ("a", 2), ("b", 3)]
    assert [number for name, number in seeded_order(items, 0, lambda item: item[0]) if name == "b"] == [1, 3]


def test_splits_shards_and_pairings_are_pinned() -> None:
    splits = dict(zip(ORDER, ["val", "val", "test", "test", "train", "train", "train", "train"], strict=True))
    assert assign_splits(IDS, 0.25, 0.25, 1234) == splits
    records = [ClipRecord(clip_id, "s", "train", "", 0, "", "") for clip_id in IDS]
    shards = [[record.clip_id for record in task.records] for task in plan_shards(records, 3, 1234)]
    assert shards == [sorted(ORDER[:3]), sorted(ORDER[3:6]), sorted(ORDER[6:])]
    assert derange(IDS, 1234) == [Pair(ORDER[k], ORDER[(k + 1) % 8]) for k in range(8)]
