"""Helpers that build shards in a test's folder and read the files of a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.corpora.manifest import ClipRecord
from pipeline.params import PreprocessParams
from pipeline.preprocess.build import build_shards
from pipeline.shards.index import IndexRow, Reject


def build(
    clips: Sequence[ClipRecord], params: PreprocessParams, tmp_path: Path, name: str, num_workers: int = 1
) -> tuple[list[IndexRow], list[Reject]]:
    """Build shards in ``tmp_path/name``, with unfinished ones in ``tmp_path/name-work``."""
    return build_shards(
        clips,
        params,
        seed=3,
        root=tmp_path,
        output_dir=tmp_path / name,
        work_dir=tmp_path / f"{name}-work",
        num_workers=num_workers,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
