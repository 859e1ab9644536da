"""What preprocessing makes of one clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.corpora.manifest import ClipRecord
from pipeline.params import PreprocessParams
from pipeline.preprocess.clip import process_clip
from pipeline.shards.index import Reject
from pipeline.shards.write import ClipSample

ANYWHERE = Path("/")
EMPTY = np.full((160, 160, 3), 110, np.uint8)


def sample_of(record: ClipRecord, params: PreprocessParams, crop_px: int = 96) -> ClipSample:
    (made,) = process_clip(record, params, ANYWHERE, crop_px)
    assert isinstance(made, ClipSample), made
    return made


def reject_of(record: ClipRecord, params: PreprocessParams) -> Reject:
    (made,) = process_clip(record, params, ANYWHERE)
    assert isinstance(made, Reject)
    assert (made.clip_id, made.speaker, made.split, made.path) == (
        record.clip_id,
        record.speaker,
        record.split,
        record.path,
    )
    return made
