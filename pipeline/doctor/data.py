"""The clips as they are listed, kept and rejected; counts that add up."""

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
    """Clips of one split or speaker. One that was cut counts once as listed and part by part as kept or rejected."""

    name: str
    listed: int
    kept: int
    rejected: int

    @property
    def rejected_share(self) -> float:
        """Of the clips and parts of clips that were looked at, 0..1."""
        return self.rejected / max(1, self.kept + self.rejected)


@dataclass(frozen=True)
class Survey:
    """Every listed clip, the index rows of those kept, and the rejects."""

    listed: Sequence[ClipRecord]
    kept: Sequence[IndexRow]
    rejects: Sequence[Reject]
    digest: str  # of the three tables

    @property
    def total(self) -> Tally:
        return Tally("all", len(self.listed), len(self.kept), len(self.rejects))

    @cached_property
    def splits(self) -> list[Tally]:
        """In the order train, val, test; those without a clip are left out."""
        found = {tally.name: tally for tally in self._tallies("split")}
        return [found[split] for split in SPLITS if split in found]

    @cached_property
    def speakers(self) -> list[Tally]:
        """Highest share of rejected clips first, then most clips."""
        return sorted(self._tallies("speaker"), key=lambda t: (-t.rejected_share, -t.listed, t.name))

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Rejected clips by reason, most first."""
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


def read_survey(layout: Layout) -> Survey:
    """Read the three tables. Raises UserError that names the command that writes the missing one."""
    listed, folder = read_manifest(layout.manifest_path), index_dir(layout)
    try:
        kept, rejects = read_index(folder), read_rejects(folder)
    except UserError as error:
        raise UserError(f"{len(listed)} clips are listed, {error}") from None
    digest = hashlib.sha256()
    for path in (layout.manifest_path, folder / INDEX_NAME, folder / REJECTS_NAME):
        digest.update(path.read_bytes())
    return Survey(listed, kept, rejects, digest.hexdigest())


def index_dir(layout: Layout) -> Path:
    """Where the clips that are used are listed: after a sync check of these shards if there was one, else in them."""
    has_been_checked = (layout.clips_dir / INDEX_NAME).is_file() and not sync_check_is_old(layout)
    return layout.clips_dir if has_been_checked else layout.shards_dir


def sync_check_is_old(layout: Layout) -> bool:
    """Whether there is an index after the sync check that is of other shards than those there are."""
    if not (layout.clips_dir / INDEX_NAME).is_file():
        return False
    try:
        (packed, refused), (kept, left_out) = (
            (read_index(folder), read_rejects(folder)) for folder in (layout.shards_dir, layout.clips_dir)
        )
    except UserError:
        return True
    if _ids(packed, refused) != _ids(kept, left_out):
        return True
    size_of = {(row.split, row.key): row.num_bytes for row in packed}
    return any(size_of.get((row.split, row.key)) != row.num_bytes for row in kept)


def _ids(kept: Sequence[IndexRow], rejects: Sequence[Reject]) -> set[str]:
    return {row.clip_id for row in kept} | {reject.clip_id for reject in rejects}


def sum_check(name: str, survey: Survey) -> Check:
    """Do the shards belong to the list of clips?"""
    total = survey.total
    said = f"{total.listed} clips listed, {total.kept} kept, {total.rejected} rejected"
    listed = {record.clip_id for record in survey.listed}
    ids = _ids(survey.kept, survey.rejects)
    found = {clip_id if clip_id in listed else source_of(clip_id) for clip_id in ids}
    if found != listed:
        problem = f"{len(listed - found)} listed ones are in neither, {len(found - listed)} are not listed"
        return fail(name, f"{said}: {problem}", "`dvc repro sync_filter`: the shards are of another list of clips")
    return ok(name, f"{said}; {survey.minutes:.1f} minutes")


def numbers(survey: Survey) -> dict[str, float]:
    """The survey as flat figures for MLflow: counts, and the spread of every measure in every split."""
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
