"""Counts of a corpus' clips on disk, per split or speaker, compared with the published counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.corpora.grid import clips_by_speaker
from pipeline.corpora.lrs2 import find_list, lrs2_root, read_split_list
from pipeline.report.tables import Table

LRS2_COUNTS = {"pretrain": 96_318, "train": 45_839, "val": 1_082, "test": 1_243}
"""Published counts of LRS2-BBC's clips. ``pretrain`` has its own folder; the other splits share ``main``."""
GRID_CLIPS_PER_SPEAKER = 1000


@dataclass(frozen=True)
class CorpusCount:
    """Clips that are ``listed``, ``absent`` from disk, ``empty`` (0 bytes), and the ``published`` count."""

    name: str
    listed: int
    absent: int
    empty: int
    published: int

    @property
    def is_complete(self) -> bool:
        return self.listed == self.published and not self.absent and not self.empty


def verify_lrs2(root: Path | None) -> list[CorpusCount]:
    """One row per split list. Raises UserError if the folder or a list of ``main`` does not exist."""
    root = lrs2_root(root)
    counts = []
    for split, published in LRS2_COUNTS.items():
        folder = root / "mvlrs_v1" / ("pretrain" if split == "pretrain" else "main")
        if split == "pretrain" and not folder.is_dir():
            counts.append(CorpusCount(split, 0, 0, 0, published))
            continue
        paths = [folder / f"{clip_id}.mp4" for clip_id in read_split_list(find_list(root, split))]
        counts.append(_count(split, paths, published))
    return counts


def verify_grid(root: Path | None, speakers: Sequence[str]) -> list[CorpusCount]:
    """One row per speaker. Raises UserError if the folder, a chosen speaker or every clip is missing."""
    found = clips_by_speaker(root, tuple(speakers))
    return [_count(speaker, paths, GRID_CLIPS_PER_SPEAKER) for speaker, paths in found.items()]


def table_of(counts: Sequence[CorpusCount]) -> Table:
    """A table with a row per count. The last column states whether the corpus is complete."""
    cells = [
        [
            count.name,
            *(f"{n:,}" for n in (count.listed, count.absent, count.empty, count.published)),
            "complete" if count.is_complete else "DIFFERS",
        ]
        for count in counts
    ]
    return Table(["", "listed", "absent", "empty", "published", ""], cells)


def _count(name: str, paths: Sequence[Path], published: int) -> CorpusCount:
    sizes = [path.stat().st_size if path.is_file() else None for path in paths]
    return CorpusCount(name, len(paths), sizes.count(None), sizes.count(0), published)
