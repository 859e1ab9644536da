"""The schema of ``index.parquet`` and ``rejects.parquet``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

INDEX_NAME = "index.parquet"
REJECTS_NAME = "rejects.parquet"


@dataclass(frozen=True, kw_only=True)
class IndexRow:
    """Where one kept clip is and what may be known of it without opening its shard.

    ``sync_shift_frames``: by so many frames the stored audio leads the stored video; readers correct it, and
    ``num_frames`` and ``num_samples`` are those that are left then. ``stats`` describe the clip and control nothing.
    """

    clip_id: str
    key: str
    speaker: str
    split: str
    shard: str  # below the shards folder, such as train/train-00000.tar
    fps: float
    num_frames: int
    num_samples: int
    num_bytes: int
    sync_shift_frames: int = 0
    stats: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reject:
    """One clip that preprocessing refused: a stable reason code, and the detail for a person."""

    clip_id: str
    speaker: str
    split: str
    path: str
    reason: str
    detail: str
