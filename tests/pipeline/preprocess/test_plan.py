from __future__ import annotations

import random
from collections import Counter

import pytest

from pipeline.core.errors import UserError
from pipeline.corpora.manifest import ClipRecord
from pipeline.preprocess.plan import plan_shards
from pipeline.shards.key import sample_key


def records(num_train: int, num_val: int = 3) -> list[ClipRecord]:
    splits = ["train"] * num_train + ["val"] * num_val
    return [ClipRecord(f"s{k % 4}/{k:03d}", f"s{k % 4}", split, "", 0, "", "") for k, split in enumerate(splits)]


def test_every_clip_is_in_one_shard_of_its_split() -> None:
    clips = records(23)
    tasks = plan_shards(clips, 5, seed=1)
    assert [task.name for task in tasks] == [f"train/train-{k:05d}.tar" for k in range(5)] + ["val/val-00000.tar"]
    assert [len(task.records) for task in tasks] == [5, 5, 5, 5, 3, 3]
    assert Counter(r.clip_id for task in tasks for r in task.records) == Counter(r.clip_id for r in clips)
    for task in tasks:
        assert {record.split for record in task.records} == {task.split}
        keys = [sample_key(record.clip_id) for record in task.records]
        assert keys == sorted(keys)


def test_the_plan_depends_on_ids_seed_and_size_only() -> None:
    clips = records(23)
    plan = plan_shards(clips, 5, seed=1)
    assert plan_shards(random.Random(0).sample(clips, len(clips)), 5, seed=1) == plan
    assert plan_shards(clips, 5, seed=2) != plan


def test_shards_mix_the_speakers() -> None:
    for task in plan_shards(records(80, 0), 20, seed=1):
        assert len({record.speaker for record in task.records}) == 4


def test_ids_that_give_one_key_are_named() -> None:
    twins = [ClipRecord(clip_id, "s", "train", "", 0, "", "") for clip_id in ("a b", "a_b")]
    with pytest.raises(UserError, match="'a b' and 'a_b'"):
        plan_shards(twins, 5, seed=1)
