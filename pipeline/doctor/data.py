"""Listed, kept and rejected clips: the tables, counts per split and speaker, and a check of their consistency."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.corpora.manifest import SPLITS, ClipRecord, read_manifest
from pipeline.doctor.check import Check, fail, ok
from pipeline.doctor.measures import measure_spread, measured
from pipeline.shards.index import INDEX_NAME, REJECTS_NAME, IndexRow, Reject
from pipeline.shards.key import source_of
from pipeline.shards.read import read_index, read_rejects


@dataclass(frozen=True)
class Tally:
    """Counts of clips of a split or speaker.

    A clip that was cut counts once as listed; each of its segments counts as kept or rejected.
    """

    name: str
    listed: int
    kept: int
    rejected: int

    @property
    def rejected_share(self) -> float:
        """Share of rejected clips and segments among all that were examined, in [0, 1]."""
        return self.rejected / max(1, self.kept + self.rejected)


@dataclass(frozen=True)
class Survey:
    """The listed clips, the index rows of the kept clips, and the rejects.

    ``folder``: the folder of the index that later stages use: the sync filter's if it is current, else the shards'.
    ``has_old_sync_check``: the sync filter's index belongs to earlier shards than the present ones.
    """

    folder: Path
    has_old_sync_check: bool
    listed: Sequence[ClipRecord]
    kept: Sequence[IndexRow]
    rejects: Sequence[Reject]
    digest: str
    """SHA-256 of the three tables"""

    @property
    def total(self) -> Tally:
        return Tally("all", len(self.listed), len(self.kept), len(self.rejects))

    @cached_property
    def splits(self) -> list[Tally]:
        """Counts per split, in the order train, val, test. Splits without clips are omitted."""
        found = {tally.name: tally for tally in self._tallies("split")}
        return [found[split] for split in SPLITS if split in found]

    @cached_property
    def speakers(self) -> list[Tally]:
        """Counts per speaker: highest share of rejected clips first, then most clips."""
        return sorted(self._tallies("speaker"), key=lambda t: (-t.rejected_share, -t.listed, t.name))

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Number of rejected clips per reason, in descending order."""
        return dict(Counter(reject.reason for reject in self.rejects).most_common())

    @property
    def minutes(self) -> float:
        return sum(row.num_frames / row.fps for row in self.kept) / 60

    def of_split(self, split: str) -> list[IndexRow]:
        return [row for row in self.kept if row.split == split]

    def _tallies(self, field: str) -> list[Tally]:
        listed, kept, rejected = (
            Counter(getattr(item, field) for item in items) for items in (self.listed, self.kept, self.rejects)
        )
        names = sorted({*listed, *kept, *rejected})
        return [Tally(name, listed[name], kept[name], rejected[name]) for name in names]


@dataclass(frozen=True)
class _Tables:
    """The index and the rejects in a folder."""

    kept: Sequence[IndexRow]
    rejects: Sequence[Reject]

    @classmethod
    def read(cls, folder: Path) -> _Tables:
        return cls(read_index(folder), read_rejects(folder))

    def belong_to(self, packed: _Tables) -> bool:
        """Whether the sync filter made these tables from the tables ``packed`` of the shards."""
        if _ids(self.kept, self.rejects) != _ids(packed.kept, packed.rejects):
            return False
        size_of = {(row.split, row.key): row.num_bytes for row in packed.kept}
        return all(size_of.get((row.split, row.key)) == row.num_bytes for row in self.kept)


def read_survey(layout: Layout) -> Survey:
    """Read each table once. Raises UserError, with the command to run, if one does not exist."""
    listed = read_manifest(layout.manifest_path)
    try:
        packed = _Tables.read(layout.shards_dir)
    except UserError as error:
        raise UserError(f"{len(listed)} clips are listed, but {error}") from None
    is_filtered = (layout.clips_dir / INDEX_NAME).is_file()
    filtered = _filtered(layout.clips_dir, packed) if is_filtered else None
    folder, tables = (layout.shards_dir, packed) if filtered is None else (layout.clips_dir, filtered)
    digest = hashlib.sha256()
    for path in (layout.manifest_path, folder / INDEX_NAME, folder / REJECTS_NAME):
        digest.update(path.read_bytes())
    is_old = is_filtered and filtered is None
    return Survey(folder, is_old, listed, tables.kept, tables.rejects, digest=digest.hexdigest())


def _filtered(folder: Path, packed: _Tables) -> _Tables | None:
    """The tables of the sync filter; None if they are incomplete, or of other shards."""
    try:
        tables = _Tables.read(folder)
    except UserError:
        return None
    return tables if tables.belong_to(packed) else None


def _ids(kept: Sequence[IndexRow], rejects: Sequence[Reject]) -> set[str]:
    return {row.clip_id for row in kept} | {reject.clip_id for reject in rejects}


def sum_check(name: str, survey: Survey) -> Check:
    """Check that the shards belong to the list of clips: every listed clip is either kept or rejected."""
    total = survey.total
    summary = f"{total.listed} clips listed, {total.kept} kept, {total.rejected} rejected"
    listed = {record.clip_id for record in survey.listed}
    ids = _ids(survey.kept, survey.rejects)
    found = {clip_id if clip_id in listed else source_of(clip_id) for clip_id in ids}
    if found != listed:
        problem = f"{len(listed - found)} listed clips are in neither table, {len(found - listed)} are not listed"
        remedy = "run `dvc repro sync_filter`: the shards belong to another list of clips"
        return fail(name, f"{summary}: {problem}", remedy)
    return ok(name, f"{summary}; {survey.minutes:.1f} minutes")


def numbers(survey: Survey) -> dict[str, float]:
    """The survey as MLflow metrics: counts, and percentiles of every measure per split."""
    found: dict[str, float] = {"num_speakers": len(survey.speakers), "minutes": survey.minutes}
    for tally in (survey.total, *survey.splits):
        found |= {
            f"{tally.name}.num_listed": tally.listed,
            f"{tally.name}.num_kept": tally.kept,
            f"{tally.name}.num_rejected": tally.rejected,
        }
    found |= {f"rejected.{reason}": count for reason, count in survey.reasons.items()}
    for tally in survey.splits:
        rows = survey.of_split(tally.name)
        for measure in measured(rows):
            if spread := measure_spread(rows, measure):
                ends = {"p05": spread.low, "median": spread.median, "p95": spread.high}
                found |= {f"{tally.name}.{measure.name}.{end}": value for end, value in ends.items()}
    return found
