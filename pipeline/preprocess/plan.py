"""Assigns clips to shards: a pure function of clip ids, seed and shard size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.core.errors import UserError
from pipeline.core.seeded_order import seeded_order
from pipeline.corpora.manifest import SPLITS, ClipRecord
from pipeline.shards.index import IndexRow, Reject
from pipeline.shards.key import sample_key
from pipeline.shards.write import shard_name


@dataclass(frozen=True)
class ShardTask:
    """The clips of one shard, in the order of their keys."""

    name: str
    split: str
    records: tuple[ClipRecord, ...]


@dataclass(frozen=True)
class ShardResult:
    """Index rows and rejects of one shard."""

    name: str
    rows: tuple[IndexRow, ...]
    rejects: tuple[Reject, ...]


def plan_shards(records: Iterable[ClipRecord], clips_per_shard: int, seed: int) -> list[ShardTask]:
    """Shards in the order train, val, test. Clips are shuffled by ``seeded_order``: a shard is a random sample.

    Raises UserError if two clip ids have the same key.
    """
    by_split: dict[str, list[ClipRecord]] = {split: [] for split in SPLITS}
    key_owner: dict[str, str] = {}
    for record in records:
        by_split[record.split].append(record)
        key = sample_key(record.clip_id)
        if key_owner.setdefault(key, record.clip_id) != record.clip_id:
            raise UserError(
                f"clips {key_owner[key]!r} and {record.clip_id!r} would share the key {key}: rename one of the files"
            )
    tasks = []
    for split, members in by_split.items():
        shuffled = seeded_order(members, seed, lambda record: record.clip_id)
        for number, start in enumerate(range(0, len(shuffled), clips_per_shard)):
            chunk = shuffled[start : start + clips_per_shard]
            chunk.sort(key=lambda record: sample_key(record.clip_id))
            tasks.append(ShardTask(shard_name(split, number), split, tuple(chunk)))
    return tasks
