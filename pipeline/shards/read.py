"""Reading shards: whole splits in a fixed order, or an endless shuffled stream that resumes exactly."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow.parquet as pq

from pipeline.shards.clip import PARTS, Clip, clip_rng, members_of
from pipeline.shards.key import source_of
from pipeline.shards.order import EpochPlan, Visit, plan_epoch
from pipeline.shards.prefetch import Prefetcher
from pipeline.shards.write import INDEX_NAME, REJECTS_NAME, SHIFT_STAT, IndexRow, Reject

__all__ = ["Clip", "ClipStream", "Prefetcher", "ShardError", "read_clips", "read_index", "read_rejects", "source_ids"]

log = logging.getLogger(__name__)

_REMAKE = "run `dvc repro sync_filter`"


class ShardError(ValueError):
    """Shards that do not hold what their index says."""


def read_index(shards_dir: Path, split: str | None = None) -> list[IndexRow]:
    """The index rows of a split (or of all), by shard and key.

    Raises FileNotFoundError without an index, ValueError for a split without clips; both say what to run.
    """
    path = shards_dir / INDEX_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {_REMAKE}")
    rows = [_index_row(row) for row in pq.read_table(path).to_pylist()]
    if split is None:
        return rows
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(Counter(r.split for r in rows).items()))
        raise ValueError(
            f"{path} has no clips in split {split!r} (it has {counts or 'none at all'}); check the splits of "
            f"params.yaml's dataset and {_REMAKE}; rejects.parquet beside it says which clips were refused and why"
        )
    return chosen


def source_ids(rows: Iterable[IndexRow]) -> set[str]:
    """Ids of the source clips behind rows, which may be parts of them."""
    return {source_of(row.clip_id) for row in rows}


def read_rejects(shards_dir: Path) -> list[Reject]:
    """What was refused, by clip id. Raises FileNotFoundError that says what to run."""
    path = shards_dir / REJECTS_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {_REMAKE}")
    return [Reject(**row) for row in pq.read_table(path).to_pylist()]


def _index_row(row: Mapping[str, Any]) -> IndexRow:
    own = {name: row[name] for name in IndexRow.__dataclass_fields__ if name != "stats"}
    stats = {name: value for name, value in row.items() if name not in own and value is not None}
    return IndexRow(**own, stats=stats)


def read_clips(
    shards_dir: Path,
    split: str,
    parts: Collection[str] = tuple(PARTS),
    keys: Collection[str] | None = None,
) -> Iterator[Clip]:
    """The clips of a split (those of ``keys``, if given) in index order, each exactly once.

    Raises as ``read_index``, and ShardError at the first clip that is missing or damaged: an evaluation
    must not lose clips silently.
    """
    rows = [row for row in read_index(shards_dir, split) if keys is None or row.key in keys]
    offsets = _offsets(rows)
    wanted = members_of(parts, with_offsets=bool(offsets))
    chosen = _keys_of_shard(rows)
    for shard, shard_keys in chosen.items():
        for key, members, problem in _read_shard(shards_dir, shard, set(shard_keys), wanted):
            if problem is not None:
                raise ShardError(f"{shards_dir / shard}: clip {key}: {problem}; {_REMAKE}")
            yield _parse(shards_dir, shard, key, members, offsets.get(key, 0), clip_rng(0, 0, key))


def _offsets(rows: Iterable[IndexRow]) -> dict[str, int]:
    """Key -> frames by which the audio leads, where that has to be corrected."""
    return {row.key: int(offset) for row in rows if (offset := row.stats.get(SHIFT_STAT, 0.0))}


def _keys_of_shard(rows: Iterable[IndexRow]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for row in rows:
        keys.setdefault(row.shard, []).append(row.key)
    return keys


def _parse(
    shards_dir: Path, shard: str, key: str, members: Mapping[str, bytes], offset_frames: int, rng: np.random.Generator
) -> Clip:
    try:
        return Clip(key, shard, members, rng, offset_frames)
    except ValueError as error:
        raise ShardError(f"{shards_dir / shard}: clip {key}: {error}; {_REMAKE}") from error


def _read_shard(
    shards_dir: Path, shard: str, keys: set[str], members: set[str]
) -> Iterator[tuple[str, dict[str, bytes], str | None]]:
    """(key, members, problem) once for every wanted key: those found in the tar's order, then the missing."""
    from webdataset import tariterators  # imports torch: too slow for the top

    path = shards_dir / shard
    problems: list[str] = []

    def is_wanted(name: str) -> bool:
        key, _, member = name.partition(".")
        return key in keys and member in members

    def stop_here(error: Exception) -> bool:
        problems.append(str(error.args[0]) if error.args else repr(error))
        return False

    missing = set(keys)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is in the index but does not exist; {_REMAKE}") from None
    with file:
        files = tariterators.tar_file_expander(
            [{"url": str(path), "stream": file}], handler=stop_here, select_files=is_wanted
        )
        for sample in tariterators.group_by_keys(files, handler=stop_here):
            key = sample["__key__"]
            if key in missing:
                missing.discard(key)
                found = {name: content for name, content in sample.items() if not name.startswith("__")}
                lacking = sorted(members - found.keys())
                cause = f" ({problems[0]})" if problems else ""
                yield key, found, f"lacks {', '.join(lacking)}{cause}" if lacking else None
    for key in sorted(missing):
        yield key, {}, problems[0] if problems else "is in the index but not in the shard"


class ClipStream(Iterator[Clip]):
    """An endless shuffled stream of a split's clips, for training. Reads only the named parts.

    The order depends on (seed, epoch) and the index alone. A damaged clip is skipped with a warning; more than
    ``max_bad_clips`` of them, or an epoch without a good one, raise ShardError. ``state_dict`` is the
    position after the clip that ``next`` returned last.
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
        self._offsets = _offsets(rows)
        self._members = members_of(parts, with_offsets=bool(self._offsets))
        self._keys_of_shard = _keys_of_shard(rows)
        self._buffer_clips, self._max_bad_clips = buffer_clips, max_bad_clips
        self._epoch = self._clips_seen = 0
        self._plan = self._plan_epoch()
        self._visits: Iterator[Clip | None] | None = None
        self._found_good = False
        self.bad_clips: dict[str, str] = {}
        """Key and reason of every clip that was skipped."""

    @property
    def num_clips(self) -> int:
        """Clips in an epoch."""
        return len(self._plan.visits)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "clips_seen": self._clips_seen}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after the clip at which ``state`` was taken. Raises ValueError if it cannot be a position here."""
        if set(state) != {"epoch", "clips_seen"} or min(state.values()) < 0:
            raise ValueError(f"not a position of a clip stream: {dict(state)}")
        self._epoch, self._clips_seen = state["epoch"], state["clips_seen"]
        self._plan, self._visits, self._found_good = self._plan_epoch(), None, True
        if self._clips_seen > self.num_clips:
            raise ValueError(
                f"position {self._clips_seen} is beyond the {self.num_clips} clips of an epoch: the shards "
                "changed since it was saved; start this training anew"
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
                raise ShardError(f"{self._shards_dir}: no readable clip in an epoch: {self._bad_summary()}; {_REMAKE}")
            self._epoch, self._clips_seen = self._epoch + 1, 0
            self._plan, self._visits, self._found_good = self._plan_epoch(), None, False

    def _plan_epoch(self) -> EpochPlan:
        return plan_epoch(self._keys_of_shard, self._seed, self._epoch, buffer_clips=self._buffer_clips)

    def _visit(self) -> Iterator[Clip | None]:
        """The epoch's remaining clips in planned order, None for a bad one; holds compressed clips only."""
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
                yield from _read_shard(self._shards_dir, shard, keys, self._members)

    def _checked(self, shard: str, key: str, members: Mapping[str, bytes], problem: str | None) -> Clip | None:
        if problem is None:
            try:
                rng = clip_rng(self._seed, self._epoch, key)
                return _parse(self._shards_dir, shard, key, members, self._offsets.get(key, 0), rng)
            except ShardError as error:
                problem = str(error)
        if key not in self.bad_clips:
            self.bad_clips[key] = f"{shard}: {problem}"
            log.warning("skipped clip %s of %s: %s", key, shard, problem)
            if len(self.bad_clips) > self._max_bad_clips:
                raise ShardError(
                    f"{self._shards_dir}: more than {self._max_bad_clips} bad clips: {self._bad_summary()}; {_REMAKE}"
                )
        return None

    def _bad_summary(self) -> str:
        return "; ".join(f"{key} ({reason})" for key, reason in list(self.bad_clips.items())[:3])
