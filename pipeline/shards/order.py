"""In which order a stream visits clips: a pure function of the index, so that a resume can recompute it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Visit(NamedTuple):
    shard: str
    key: str


@dataclass(frozen=True)
class EpochPlan:
    """The shards in reading order, and every clip of them in visiting order."""

    shards: list[str]
    visits: list[Visit]


def plan_epoch(
    keys_of_shard: Mapping[str, Sequence[str]],
    seed: int,
    epoch: int,
    *,
    part: int = 0,
    num_parts: int = 1,
    buffer_clips: int = 64,
) -> EpochPlan:
    """Shuffle the shards by (seed, epoch), take every ``num_parts``-th, shuffle clips through a small buffer.

    The parts of an epoch are disjoint and together visit every clip once. At most ``buffer_clips``
    clips of the shards read so far are waiting at any time. Raises ValueError if a part would get
    no shard.
    """
    if not 0 <= part < num_parts:
        raise ValueError(f"part {part} of {num_parts} does not exist")
    if len(keys_of_shard) < num_parts:
        raise ValueError(
            f"{len(keys_of_shard)} shards cannot feed {num_parts} readers (processes times workers); "
            "lower params.yaml's preprocess.clips_per_shard or use fewer readers"
        )
    names = sorted(keys_of_shard)
    order = np.random.default_rng([seed, epoch]).permutation(len(names))
    shards = [names[index] for index in order[part::num_parts]]
    rng = np.random.default_rng([seed, epoch, part, num_parts])
    visits: list[Visit] = []
    waiting: list[Visit] = []
    for shard in shards:
        for key in keys_of_shard[shard]:
            waiting.append(Visit(shard, key))
            if len(waiting) > buffer_clips:
                visits.append(_pop_random(waiting, rng))
    while waiting:
        visits.append(_pop_random(waiting, rng))
    return EpochPlan(shards, visits)


def _pop_random(waiting: list[Visit], rng: np.random.Generator) -> Visit:
    index = int(rng.integers(len(waiting)))
    waiting[index], waiting[-1] = waiting[-1], waiting[index]
    return waiting.pop()
