"""Order of the clips in a stream: a pure function of index, seed and epoch, recomputed on resume."""

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
    """The shards in reading order, and all their clips in visiting order."""

    shards: list[str]
    visits: list[Visit]


def plan_epoch(
    keys_of_shard: Mapping[str, Sequence[str]], seed: int, epoch: int, *, buffer_clips: int = 64
) -> EpochPlan:
    """Shuffle the shards by (seed, epoch), then their clips with a shuffle buffer. Every clip occurs once.

    The buffer holds at most ``buffer_clips`` clips.
    """
    names = sorted(keys_of_shard)
    order = np.random.default_rng([seed, epoch]).permutation(len(names))
    shards = [names[index] for index in order]
    rng = np.random.default_rng([seed, epoch, 0, 1])  # 0, 1: keep the order of earlier versions
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
