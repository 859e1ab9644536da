"""The clips of a split as dataset inputs of MLflow runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.artifacts import read_rows
from pipeline.core.digest import sha256_of_names
from pipeline.core.errors import LipsmithError
from pipeline.core.layout import Layout
from pipeline.params import Params

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_CONTEXTS = {"train": "training", "val": "validation", "test": "test"}
"""Split -> how MLflow calls the use of a dataset."""
_INDEX = "index.parquet"


@dataclass(frozen=True)
class Dataset:
    """The clips of one split. ``digest`` depends on their ids and their sizes."""

    name: str
    digest: str
    split: str
    address: str
    numbers: Mapping[str, float]

    def as_input(self) -> DatasetInput:
        from mlflow.entities import Dataset as Entity
        from mlflow.entities import DatasetInput, InputTag

        entity = Entity(
            name=self.name,
            digest=self.digest,
            source_type="local",
            source=json.dumps({"uri": self.address}),
            profile=json.dumps(dict(self.numbers)),
        )
        return DatasetInput(entity, [InputTag("mlflow.data.context", _CONTEXTS[self.split])])


def split_datasets(layout: Layout, params: Params, stage: str) -> list[Dataset]:
    """The datasets that a stage uses: the test split of an evaluation, otherwise training and validation.

    Empty if the clips are not listed yet or their list is damaged, which the stage itself reports.
    """
    try:
        rows = read_rows(layout.clips_dir / _INDEX, ("clip_id", "speaker", "split", "num_frames", "num_bytes", "fps"))
    except (LipsmithError, OSError):
        return []
    datasets = []
    for split in ("test",) if stage == "evaluate" else ("train", "val"):
        clips = [row for row in rows if row["split"] == split]
        if not clips:
            continue
        parts = (f"{row['clip_id']} {row['num_frames']} {row['num_bytes']}" for row in clips)
        numbers = {
            "num_clips": len(clips),
            "num_speakers": len({row["speaker"] for row in clips}),
            "minutes": round(sum(row["num_frames"] / row["fps"] for row in clips) / 60, 2),
        }
        address = _relative(layout.clips_dir, layout.root)
        digest = sha256_of_names(parts)[:12]
        datasets.append(Dataset(f"{params.dataset.source}-{split}", digest, split, address, numbers))
    return datasets


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
