"""An endless shuffled stream of a split's clips with exact resume."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from pipeline.core.errors import UserError
from pipeline.shards.clip import REMAKE_CLIPS, Clip, clip_rng, members_of
from pipeline.shards.order import EpochPlan, Visit, plan_epoch
from pipeline.shards.read import (
    ShardError,
    keys_by_shard,
    parse_clip,
    read_index,
    read_shard,
    sync_shifts,
)

logger = logging.getLogger(__name__)


class ClipStream(Iterator[Clip]):
    """An endless shuffled stream of a split's clips, for training. Reads only ``parts``.

    The order depends only on the seed, the epoch and the index. A clip whose description, arrays or byte counts are
    damaged is skipped with a warning. More than ``max_bad_clips`` damaged clips, or an epoch without a readable clip,
    raise ShardError. Images are not decoded here: a damaged one raises DataError when it is used. ``state_dict`` is the
    position after the last clip that ``next`` returned.
    """

    def __init__(
        self,
        shards_dir: Path,
        split: str,
        seed: int,
        parts: Sequence[str] = ("frames", "mel"),
        *,
        buffer_clips: int = 64,
        max_bad_clips: int = 8,
    ) -> None:
        self._shards_dir, self._seed = shards_dir, seed
        rows = read_index(shards_dir, split)
        self.sync_shifts = sync_shifts(rows)
        self._members = members_of(parts, with_offsets=bool(self.sync_shifts))
        self.keys_by_shard = keys_by_shard(rows)
        self._buffer_clips, self._max_bad_clips = buffer_clips, max_bad_clips
        self._epoch = self._clips_seen = 0
        self._plan = self._plan_epoch()
        self._visits: Iterator[Clip | None] | None = None
        self._found_good = False
        self.bad_clips: dict[str, str] = {}
        """Maps the key of each skipped clip to the reason."""

    @property
    def num_clips(self) -> int:
        """Number of clips in an epoch."""
        return len(self._plan.visits)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "clips_seen": self._clips_seen}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Resume at position ``state``.

        Raises UserError if the position is beyond the clips of an epoch, ValueError if it is invalid.
        """
        if set(state) != {"epoch", "clips_seen"} or min(state.values()) < 0:
            raise ValueError(f"not a position of a clip stream: {dict(state)}")
        self._epoch, self._clips_seen = state["epoch"], state["clips_seen"]
        self._plan, self._visits, self._found_good = self._plan_epoch(), None, True
        if self._clips_seen > self.num_clips:
            raise UserError(
                f"position {self._clips_seen} is beyond the {self.num_clips} clips of an epoch: the shards "
                "changed since it was saved; restart the training from scratch"
            )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Clip:
        while True:
            if self._visits is None:
                self._visits = self._visit()
            for clip in self._visits:
                self._clips_seen += 1
                if clip is not None:
                    self._found_good = True
                    return clip
            if not self._found_good:
                raise ShardError(
                    f"{self._shards_dir}: no readable clip in an epoch: {self._bad_summary()}; {REMAKE_CLIPS}"
                )
            self._epoch, self._clips_seen = self._epoch + 1, 0
            self._plan, self._visits, self._found_good = self._plan_epoch(), None, False

    def _plan_epoch(self) -> EpochPlan:
        return plan_epoch(self.keys_by_shard, self._seed, self._epoch, buffer_clips=self._buffer_clips)

    def _visit(self) -> Iterator[Clip | None]:
        """Yields the epoch's remaining clips in planned order, None for a damaged one. Buffers compressed clips."""
        remaining = self._plan.visits[self._clips_seen :]
        source = self._read(remaining)
        waiting: dict[str, tuple[dict[str, bytes], str | None]] = {}
        for shard, key in remaining:
            while key not in waiting:
                found, members, problem = next(source)
                waiting[found] = members, problem
            members, problem = waiting.pop(key)
            yield self._checked(shard, key, members, problem)

    def _read(self, visits: Iterable[Visit]) -> Iterator[tuple[str, dict[str, bytes], str | None]]:
        keys_of_shard: dict[str, set[str]] = {}
        for shard, key in visits:
            keys_of_shard.setdefault(shard, set()).add(key)
        for shard in self._plan.shards:
            if keys := keys_of_shard.get(shard):
                yield from read_shard(self._shards_dir, shard, keys, self._members)

    def _checked(self, shard: str, key: str, members: Mapping[str, bytes], problem: str | None) -> Clip | None:
        if problem is None:
            try:
                rng = clip_rng(self._seed, self._epoch, key)
                return parse_clip(self._shards_dir, shard, key, members, self.sync_shifts.get(key, 0), rng)
            except ShardError as error:
                problem = str(error)
        if key not in self.bad_clips:
            self.bad_clips[key] = f"{shard}: {problem}"
            logger.warning("skipped clip %s of %s: %s", key, shard, problem)
            if len(self.bad_clips) > self._max_bad_clips:
                raise ShardError(
                    f"{self._shards_dir}: more than {self._max_bad_clips} bad clips: {self._bad_summary()}; "
                    f"{REMAKE_CLIPS}"
                )
        return None

    def _bad_summary(self) -> str:
        return "; ".join(f"{key} ({reason})" for key, reason in list(self.bad_clips.items())[:3])
