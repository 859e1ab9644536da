"""Reading shards: their index, and whole splits in a fixed order."""

from __future__ import annotations

import logging
import tarfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.artifacts import read_rows
from pipeline.core.errors import DataError, UserError
from pipeline.shards.clip import PARTS, Clip, clip_rng, members_of
from pipeline.shards.index import INDEX_NAME, REJECTS_NAME, IndexRow, Reject
from pipeline.shards.key import source_of

log = logging.getLogger(__name__)

REMAKE_CLIPS = "run `dvc repro sync_filter`"
_SHIFT = "sync_shift_frames"
_INDEX_COLUMNS = tuple(field.name for field in fields(IndexRow) if field.name not in ("stats", _SHIFT))
"""Every index has these; one of an earlier version may lack the shift."""
_NO_STATS = {*_INDEX_COLUMNS, _SHIFT}


class ShardError(DataError):
    """Shards that do not hold what their index says."""


def read_index(shards_dir: Path, split: str | None = None) -> list[IndexRow]:
    """The index rows of a split (or of all), by shard and key.

    Raises UserError without an index, DataError for one that is damaged and for a split without clips; each says what
    to run.
    """
    path = shards_dir / INDEX_NAME
    rows = [_index_row(row) for row in read_rows(path, _INDEX_COLUMNS, REMAKE_CLIPS)]
    if split is None:
        return rows
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(Counter(r.split for r in rows).items()))
        raise DataError(
            f"{path} has no clips in split {split!r} (it has {counts or 'none at all'}); check the splits of "
            f"params.yaml's dataset and {REMAKE_CLIPS}; rejects.parquet beside it says which clips were refused and why"
        )
    return chosen


def source_ids(rows: Iterable[IndexRow]) -> set[str]:
    """Ids of the source clips behind rows, which may be parts of them."""
    return {source_of(row.clip_id) for row in rows}


def read_rejects(shards_dir: Path) -> list[Reject]:
    """What was refused, by clip id. Raises UserError or DataError that says what to run."""
    columns = [field.name for field in fields(Reject)]
    rows = read_rows(shards_dir / REJECTS_NAME, columns, REMAKE_CLIPS)
    return [Reject(**{name: row[name] for name in columns}) for row in rows]


def _index_row(row: Mapping[str, Any]) -> IndexRow:
    own = {name: row[name] for name in _INDEX_COLUMNS}
    shift_frames = int(row.get(_SHIFT) or 0)  # earlier indexes have it as a float, for some clips or none
    stats = {name: value for name, value in row.items() if name not in _NO_STATS and value is not None}
    return IndexRow(**own, sync_shift_frames=shift_frames, stats=stats)


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
    offsets = sync_shifts(rows)
    wanted = members_of(parts, with_offsets=bool(offsets))
    chosen = keys_by_shard(rows)
    for shard, shard_keys in chosen.items():
        for key, members, problem in read_shard(shards_dir, shard, set(shard_keys), wanted):
            if problem is not None:
                raise ShardError(f"{shards_dir / shard}: clip {key}: {problem}; {REMAKE_CLIPS}")
            yield parse_clip(shards_dir, shard, key, members, offsets.get(key, 0), clip_rng(0, 0, key))


def sync_shifts(rows: Iterable[IndexRow]) -> dict[str, int]:
    """Key -> frames by which the audio leads, where that has to be corrected."""
    return {row.key: row.sync_shift_frames for row in rows if row.sync_shift_frames}


def keys_by_shard(rows: Iterable[IndexRow]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for row in rows:
        keys.setdefault(row.shard, []).append(row.key)
    return keys


def parse_clip(
    shards_dir: Path, shard: str, key: str, members: Mapping[str, bytes], offset_frames: int, rng: np.random.Generator
) -> Clip:
    try:
        return Clip(key, shard, members, rng, offset_frames)
    except DataError as error:
        raise ShardError(f"{shards_dir / shard}: clip {key}: {error}; {REMAKE_CLIPS}") from error


def read_shard(
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
        if not isinstance(error, tarfile.TarError | OSError | EOFError | ValueError):  # not what a damaged tar gives
            raise error
        problems.append(str(error.args[0]) if error.args else repr(error))
        return False

    missing = set(keys)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise UserError(f"{path} is in the index but does not exist; {REMAKE_CLIPS}") from None
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
