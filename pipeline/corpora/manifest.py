"""The manifest: the list of source clips that ``download`` writes and ``preprocess`` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core import atomic
from pipeline.core.artifacts import read_rows
from pipeline.core.choices import Split
from pipeline.core.digest import sha256_of
from pipeline.core.errors import DataError
from pipeline.shards.index import IndexRow, Reject

SPLITS: tuple[str, ...] = get_args(Split)
MIN_CLIPS = {"train": 1, "val": 1, "test": 2}
"""Fewest clips per split that later stages need. A test clip is also scored with the audio of another test clip."""

MAX_MISSING_SHARE = 0.1
"""Largest share of missing source files that is tolerated. A larger one suggests a wrong or unmounted folder."""


@dataclass(frozen=True)
class ClipRecord:
    """One source clip. ``path`` is absolute, relative to the checkout's root, or an fsspec URL such as s3://..."""

    clip_id: str
    speaker: str
    split: str
    path: str
    num_bytes: int
    sha256: str
    transcript: str


def record_of(clip_id: str, speaker: str, split: str, path: Path, transcript: str) -> ClipRecord:
    """The record of a file on disk, with its size and SHA-256. The whole file is read."""
    return ClipRecord(clip_id, speaker, split, str(path), path.stat().st_size, sha256_of(path), transcript)


def absent_record(clip_id: str, speaker: str, split: str, path: Path) -> ClipRecord:
    """The record of a clip without a file, with 0 bytes. Preprocessing rejects it as ``missing_file``."""
    return ClipRecord(clip_id, speaker, split, str(path), 0, "", "")


def write_manifest(path: Path, records: Iterable[ClipRecord]) -> None:
    """Write records to Parquet in order of clip ids. Equal records give equal bytes.

    Raises ValueError for an unknown split or a repeated clip id.
    """
    rows = sorted(records, key=lambda record: record.clip_id)
    seen: set[str] = set()
    for row in rows:
        if row.split not in SPLITS:
            raise ValueError(f"clip {row.clip_id}: split {row.split!r} must be one of {', '.join(SPLITS)}")
        if row.clip_id in seen:
            raise ValueError(f"clip id {row.clip_id} occurs twice")
        seen.add(row.clip_id)
    columns = {f.name: [getattr(row, f.name) for row in rows] for f in fields(ClipRecord)}
    schema = pa.schema([(f.name, pa.int64() if f.name == "num_bytes" else pa.string()) for f in fields(ClipRecord)])
    with atomic.replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")


def read_manifest(path: Path) -> list[ClipRecord]:
    """The records in order of clip ids.

    Raises UserError if the file does not exist and DataError if it is damaged, with the command that writes it.
    """
    columns = [field.name for field in fields(ClipRecord)]
    rows = read_rows(path, columns, "`dvc repro download` writes it")
    return [ClipRecord(**{name: row[name] for name in columns}) for row in rows]


def require_enough(
    given: Iterable[ClipRecord | IndexRow],
    kept: Iterable[IndexRow],
    rejects: Iterable[Reject],
    *,
    by: str,
    remedy: str,
) -> None:
    """Raise DataError if fewer than ``MIN_CLIPS`` of the ``given`` clips of a split were ``kept``.

    ``by``: what rejected the others.
    """
    num_given, num_kept = (Counter(item.split for item in items) for items in (given, kept))
    reasons = Counter((reject.split, reject.reason) for reject in rejects)
    for split in sorted(num_given):
        if num_kept[split] < MIN_CLIPS[split]:
            counts = [f"{count} {reason}" for (of, reason), count in reasons.most_common() if of == split]
            raise DataError(
                f"{by} keeps {num_kept[split]} of {num_given[split]} clips of the split {split}, but at least "
                f"{MIN_CLIPS[split]} are required (rejected: {', '.join(counts) or 'none'}). {remedy}"
            )
