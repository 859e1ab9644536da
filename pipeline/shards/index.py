"""The schema of ``index.parquet`` and ``rejects.parquet``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.choices import UNNAMED_GEOMETRY, CropGeometry

INDEX_NAME = "index.parquet"
REJECTS_NAME = "rejects.parquet"


@dataclass(frozen=True, kw_only=True)
class IndexRow:
    """Location and properties of one kept clip.

    ``crop`` is the geometry of its face crops. ``sync_shift_frames`` is the lead of the stored audio over the stored
    video, in frames. Readers correct it; ``num_frames`` and ``num_samples`` are the lengths after the correction.
    ``note`` is what reading the source clip changed or missed, such as the share of a file that is cut off; empty if
    nothing. ``stats``: docs/data.md has their units and ranges. ``note`` and ``stats`` are informative only.
    """

    clip_id: str
    key: str
    speaker: str
    split: str
    shard: str  # relative to the folder of the index, such as train/train-00000.tar
    fps: float
    num_frames: int
    num_samples: int
    num_bytes: int
    crop: CropGeometry = UNNAMED_GEOMETRY
    sync_shift_frames: int = 0
    note: str = ""
    stats: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reject:
    """One rejected clip or segment, with a stable reason code and a detail for the user.

    ``path`` is the source clip's path in the manifest.
    """

    clip_id: str
    speaker: str
    split: str
    path: str
    reason: str
    detail: str
