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
    keys_of_shard: Mapping[str, Sequence[str]], seed: int, epoch: int, *, buffer_clips: int = 64
) -> EpochPlan:
    """Shuffle the shards by (seed, epoch), then their clips through a small buffer; every clip comes once.

    At most ``buffer_clips`` clips of the shards read so far are waiting at any time.
    """
    names = sorted(keys_of_shard)
    order = np.random.default_rng([seed, epoch]).permutation(len(names))
    shards = [names[index] for index in order]
    rng = np.random.default_rng([seed, epoch, 0, 1])  # these two keep the order of earlier versions
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
