"""Writes shards, with one group of tar members per clip, and the index. Equal clips give equal bytes.

A shard is ``<split>/<split>-00000.tar``. A sample is ``KEY.frames.mjpeg``, ``KEY.context.mjpeg``,
``KEY.mel.npy``, ``KEY.audio.npy`` and ``KEY.json``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.choices import FACE_SIZE_PX
from pipeline.core import atomic
from pipeline.core.choices import UNNAMED_GEOMETRY, CropGeometry
from pipeline.core.errors import UserError
from pipeline.shards.index import INDEX_NAME, REJECTS_NAME, IndexRow, Reject
from pipeline.shards.key import sample_key


@dataclass(frozen=True, kw_only=True)
class ClipSample:
    """One preprocessed clip to write to a shard. Raises ValueError if its parts are inconsistent.

    ``crop`` is the geometry of the face crops, ``crop_px`` their side in pixels. ``other_crops_in_context`` has the
    boxes of the other geometries, with which readers cut those crops out of the context crops. ``stats`` are named
    values (face size, brightness, ...), which become columns of the index; docs/data.md has their units and ranges.
    ``note`` as in IndexRow; it is not part of the shard.
    """

    clip_id: str
    speaker: str
    split: str
    fps: float
    frames_mjpeg: bytes  # face crops
    frame_bytes: Sequence[int]
    context_mjpeg: bytes  # context crops
    context_bytes: Sequence[int]
    crop_in_context: NDArray[np.floating]  # [N, 4]: x0, y0, x1, y1 of the face crop, context px
    mel: NDArray[np.float32]  # [L, 80]
    audio: NDArray[np.int16]  # [n], 16 kHz
    crop: CropGeometry = UNNAMED_GEOMETRY
    crop_px: int = FACE_SIZE_PX
    other_crops_in_context: Mapping[CropGeometry, NDArray[np.floating]] = field(default_factory=dict)  # [N, 4] each
    transcript: str = ""
    source: str = ""
    note: str = ""
    stats: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        num_frames = len(self.frame_bytes)
        problems = {
            "no frames": num_frames == 0,
            f"{len(self.context_bytes)} context frames": len(self.context_bytes) != num_frames,
            "frame_bytes do not add up": sum(self.frame_bytes) != len(self.frames_mjpeg),
            "context_bytes do not add up": sum(self.context_bytes) != len(self.context_mjpeg),
            f"crop_in_context {self.crop_in_context.shape}": self.crop_in_context.shape != (num_frames, 4),
            **{
                f"other_crops_in_context {other} {boxes.shape}": boxes.shape != (num_frames, 4)
                for other, boxes in self.other_crops_in_context.items()
            },
            f"mel {self.mel.dtype} {self.mel.shape}": self.mel.dtype != np.float32 or self.mel.ndim != 2,
            f"audio {self.audio.dtype} {self.audio.shape}": self.audio.dtype != np.int16 or self.audio.ndim != 1,
        }
        found = [problem for problem, is_there in problems.items() if is_there]
        if found:
            raise ValueError(f"clip {self.clip_id} of {num_frames} frames: {', '.join(found)}")

    @property
    def key(self) -> str:
        return sample_key(self.clip_id)

    @property
    def num_frames(self) -> int:
        return len(self.frame_bytes)


_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "CropGeometry": pa.string()}


def shard_name(split: str, number: int) -> str:
    """The shard's path relative to the shards folder: ``train/train-00000.tar``."""
    return f"{split}/{split}-{number:05d}.tar"


def write_shard(shards_dir: Path, name: str, samples: Iterable[ClipSample]) -> list[IndexRow]:
    """Write one tar, streaming and atomically; returns the index rows of its clips.

    Equal samples give equal bytes. Raises UserError if two samples have the same key.
    """
    with atomic.replacing(shards_dir / name) as temporary, temporary.open("wb") as file:
        return _write_samples(file, name, samples)


def _write_samples(file: IO[bytes], name: str, samples: Iterable[ClipSample]) -> list[IndexRow]:
    import webdataset  # imports torch: too slow at module level, because workers import this module

    rows: list[IndexRow] = []
    owners: dict[str, str] = {}
    with webdataset.TarWriter(file, user="lipsmith", group="lipsmith", mtime=0) as tar:
        for sample in samples:
            if sample.key in owners:
                raise UserError(
                    f"{name}: {owners[sample.key]!r} and {sample.clip_id!r} have the same key {sample.key}: rename one "
                    "of the files"
                )
            owners[sample.key] = sample.clip_id
            num_bytes = tar.write({"__key__": sample.key, **_members(sample)})
            rows.append(
                IndexRow(
                    clip_id=sample.clip_id,
                    key=sample.key,
                    speaker=sample.speaker,
                    split=sample.split,
                    shard=name,
                    fps=float(sample.fps),
                    num_frames=sample.num_frames,
                    num_samples=len(sample.audio),
                    num_bytes=num_bytes,
                    crop=sample.crop,
                    note=sample.note,
                    stats=dict(sample.stats),
                )
            )
    return rows


def _members(sample: ClipSample) -> dict[str, bytes]:
    description: dict[str, Any] = {
        "clip_id": sample.clip_id,
        "speaker": sample.speaker,
        "split": sample.split,
        "fps": float(sample.fps),
        "num_frames": sample.num_frames,
        "frame_bytes": [int(size) for size in sample.frame_bytes],
        "context_bytes": [int(size) for size in sample.context_bytes],
        "crop": sample.crop,
        "crop_in_context": _rounded(sample.crop_in_context),
        "other_crops_in_context": {other: _rounded(boxes) for other, boxes in sample.other_crops_in_context.items()},
        "num_samples": len(sample.audio),
        "transcript": sample.transcript,
        "source": sample.source,
        "stats": {name: float(value) for name, value in sample.stats.items()},
    }
    if sample.crop_px != FACE_SIZE_PX:  # earlier versions had no other size and did not name it
        description["crop_px"] = sample.crop_px
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return {
        "frames.mjpeg": sample.frames_mjpeg,
        "context.mjpeg": sample.context_mjpeg,
        "mel.npy": _npy(sample.mel),
        "audio.npy": _npy(sample.audio),
        "json": text.encode(),
    }


def _rounded(boxes: NDArray[np.floating]) -> list[list[float]]:
    """Boxes in pixels with three decimals, for JSON."""
    rounded: list[list[float]] = np.round(boxes.astype(np.float64), 3).tolist()
    return rounded


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def write_index(shards_dir: Path, rows: Iterable[IndexRow]) -> None:
    """Write ``index.parquet``, sorted by split, shard and key. Each stat of any row becomes a column.

    Raises ValueError if a key occurs twice in a split, or a stat has the name of another column.
    """
    ordered = sorted(rows, key=lambda row: (row.split, row.shard, row.key))
    seen: dict[tuple[str, str], str] = {}
    for row in ordered:
        if (other := seen.get((row.split, row.key))) is not None:
            raise ValueError(f"split {row.split}: clips {other} and {row.clip_id} share key {row.key}")
        seen[row.split, row.key] = row.clip_id
    columns = {name: [getattr(row, name) for row in ordered] for name in _names(IndexRow)}
    schema = _schema(IndexRow)
    for stat in sorted({name for row in ordered for name in row.stats}):
        if stat in columns:
            raise ValueError(f"stat {stat!r} has the name of a column of the index")
        columns[stat] = [row.stats.get(stat) for row in ordered]
        schema = schema.append(pa.field(stat, pa.float64()))
    _write_table(shards_dir / INDEX_NAME, columns, schema)


def write_rejects(shards_dir: Path, rejects: Iterable[Reject]) -> None:
    """Write ``rejects.parquet``, sorted by clip id. The table is empty if nothing was rejected."""
    ordered = sorted(rejects, key=lambda reject: (reject.clip_id, reject.path))
    columns = {name: [getattr(row, name) for row in ordered] for name in _names(Reject)}
    _write_table(shards_dir / REJECTS_NAME, columns, _schema(Reject))


def _names(kind: type[IndexRow] | type[Reject]) -> list[str]:
    return [column.name for column in fields(kind) if column.name != "stats"]


def _schema(kind: type[IndexRow] | type[Reject]) -> pa.Schema:
    types = {column.name: _TYPES[str(column.type)] for column in fields(kind) if column.name != "stats"}
    return pa.schema(list(types.items()))


def _write_table(path: Path, columns: Mapping[str, list[Any]], schema: pa.Schema) -> None:
    with atomic.replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")
