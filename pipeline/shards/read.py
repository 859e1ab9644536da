"""Reads the index of shards, and the clips of a split in a fixed order."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.artifacts import read_rows
from pipeline.core.choices import UNNAMED_GEOMETRY, CropGeometry
from pipeline.core.errors import DataError, UserError
from pipeline.shards.clip import PARTS, REMAKE_CLIPS, Clip, clip_rng, members_of
from pipeline.shards.index import INDEX_NAME, REJECTS_NAME, IndexRow, Reject
from pipeline.shards.key import source_of

_SHIFT, _CROP, _NOTE = "sync_shift_frames", "crop", "note"
_INDEX_COLUMNS = tuple(field.name for field in fields(IndexRow) if field.name not in ("stats", _SHIFT, _CROP, _NOTE))
"""Required columns of an index. Indexes of earlier versions may lack shift, geometry of the crops and note."""
_NO_STATS = {*_INDEX_COLUMNS, _SHIFT, _CROP, _NOTE}


class ShardError(DataError):
    """Shards do not match their index."""


def read_index(shards_dir: Path, split: str | None = None) -> list[IndexRow]:
    """The index rows of a split, or of all splits, ordered by shard and key.

    Raises UserError if the index is missing, DataError if it is damaged or the split has no clips. Each message states
    the command to run.
    """
    path = shards_dir / INDEX_NAME
    rows = [_index_row(row) for row in read_rows(path, _INDEX_COLUMNS, REMAKE_CLIPS)]
    if split is None:
        return rows
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(Counter(r.split for r in rows).items()))
        raise DataError(
            f"{path} has no clips in split {split!r} (clips by split: {counts or 'none'}); check the splits of the "
            f"dataset in params.yaml and {REMAKE_CLIPS}; {REJECTS_NAME} in the same folder lists the rejected clips "
            "with reasons"
        )
    return chosen


def source_ids(rows: Iterable[IndexRow]) -> set[str]:
    """Ids of the source clips of index rows. A row may be a segment of its source clip."""
    return {source_of(row.clip_id) for row in rows}


def shared_geometry(rows: Iterable[IndexRow]) -> CropGeometry:
    """The geometry of the face crops of all clips. Raises DataError if they have several."""
    (first, *others) = sorted({row.crop for row in rows})
    if others:
        raise DataError(
            f"the clips have face crops of the geometries {first} and {', '.join(others)}; run `dvc repro --force "
            f"--single-item preprocess`, then {REMAKE_CLIPS.removeprefix('run ')}"
        )
    return first


def read_rejects(shards_dir: Path) -> list[Reject]:
    """The rejected clips, ordered by clip id. Raises UserError or DataError with the command to run."""
    columns = [field.name for field in fields(Reject)]
    rows = read_rows(shards_dir / REJECTS_NAME, columns, REMAKE_CLIPS)
    return [Reject(**{name: row[name] for name in columns}) for row in rows]


def _index_row(row: Mapping[str, Any]) -> IndexRow:
    own = {name: row[name] for name in _INDEX_COLUMNS}
    shift_frames = int(row.get(_SHIFT) or 0)  # earlier indexes store a float, possibly missing
    crop: CropGeometry = row.get(_CROP) or UNNAMED_GEOMETRY
    stats = {name: value for name, value in row.items() if name not in _NO_STATS and value is not None}
    return IndexRow(**own, crop=crop, sync_shift_frames=shift_frames, note=row.get(_NOTE) or "", stats=stats)


def read_clips(
    shards_dir: Path,
    split: str,
    parts: Collection[str] = tuple(PARTS),
    keys: Collection[str] | None = None,
) -> Iterator[Clip]:
    """Yields the clips of a split, or those in ``keys``, in index order, each exactly once.

    Raises the errors of ``read_index``, and ShardError at the first missing or damaged clip, because an evaluation must
    not skip clips silently.
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
    """Map from key to the lead of the audio in frames, for clips that need a correction."""
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
    """Yields (key, members, problem) once per requested key: found keys in tar order, then missing keys."""
    from webdataset import tariterators  # imports torch: too slow at module level

    path = shards_dir / shard
    problems: list[str] = []

    def is_wanted(name: str) -> bool:
        key, _, member = name.partition(".")
        return key in keys and member in members

    def stop_here(error: Exception) -> bool:
        if not isinstance(error, tarfile.TarError | OSError | EOFError | ValueError):  # not caused by a damaged tar
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
