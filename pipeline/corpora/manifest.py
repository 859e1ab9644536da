"""The list of source clips that every dataset yields and ``preprocess`` reads."""

from __future__ import annotations

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

SPLITS: tuple[str, ...] = get_args(Split)
MIN_CLIPS = {"train": 1, "val": 1, "test": 2}
"""Fewest clips of a split that later stages can work with: a test clip is scored with another one's sound."""

MAX_MISSING_SHARE = 0.1
"""Share of source files; with more of them gone it is the folder that is missing, not some clips."""


@dataclass(frozen=True)
class ClipRecord:
    """One source clip. ``path`` is absolute, relative to the checkout's root, or a URL that fsspec reads (s3://...)."""

    clip_id: str
    speaker: str
    split: str
    path: str
    num_bytes: int
    sha256: str
    transcript: str


def record_of(clip_id: str, speaker: str, split: str, path: Path, transcript: str) -> ClipRecord:
    """Describe a file on disk; its digest ties later stages to its content."""
    return ClipRecord(clip_id, speaker, split, str(path), path.stat().st_size, sha256_of(path), transcript)


def absent_record(clip_id: str, speaker: str, split: str, path: Path) -> ClipRecord:
    """A clip that is listed but not on disk; preprocessing rejects it as a missing file."""
    return ClipRecord(clip_id, speaker, split, str(path), 0, "", "")


def write_manifest(path: Path, records: Iterable[ClipRecord]) -> None:
    """Write records sorted by clip id, byte-identical for equal records."""
    rows = sorted(records, key=lambda record: record.clip_id)
    seen: set[str] = set()
    for row in rows:
        if row.split not in SPLITS:
            raise ValueError(f"clip {row.clip_id}: split {row.split!r} is none of {', '.join(SPLITS)}")
        if row.clip_id in seen:
            raise ValueError(f"clip id {row.clip_id} occurs twice")
        seen.add(row.clip_id)
    columns = {f.name: [getattr(row, f.name) for row in rows] for f in fields(ClipRecord)}
    schema = pa.schema([(f.name, pa.int64() if f.name == "num_bytes" else pa.string()) for f in fields(ClipRecord)])
    with atomic.replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")


def read_manifest(path: Path) -> list[ClipRecord]:
    """Records in clip id order. Raises UserError or DataError with the command that writes the manifest."""
    columns = [field.name for field in fields(ClipRecord)]
    rows = read_rows(path, columns, "`dvc repro download` writes it")
    return [ClipRecord(**{name: row[name] for name in columns}) for row in rows]
