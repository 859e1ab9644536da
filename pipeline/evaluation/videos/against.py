"""Figures of scored videos beside those of an earlier result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from pipeline.compare.intervals import mean_interval
from pipeline.compare.table import ClipScore, clip_scores
from pipeline.core.errors import DataError, UserError
from pipeline.core.versions import differing
from pipeline.params.scoring import CompareParams
from pipeline.report.tables import Table

METRICS = (
    ("LSE-D ↓", "lse_d", 1),
    ("LSE-C ↑", "lse_c", 1),
    ("clips within 1 frame, % ↑", "within_one_frame", 100),
    ("mean offset, frames (audio ahead: +)", "offset_mean_frames", 1),
    ("FID ↓", "fid", 1),
    ("1000 KID ↓", "kid", 1000),
    ("jitter / real (both as encoded)", "jitter_ratio", 1),
)
"""Label, name in a result, and by what it is multiplied to be read."""
OF_CLIPS = ("lse_d", "lse_c")
"""Figures that are means over clips."""
MIN_SHARED_CLIPS = 2
"""Fewer have no interval: resampling one clip gives that clip."""
CSV_DIGITS = 1e-5

Figures = Mapping[str, Any]
ClipScores = Mapping[tuple[str, str], ClipScore]
Interval = tuple[FiniteFloat, FiniteFloat]


class _Failure(BaseModel):
    clip_id: str


class _Result(BaseModel):
    """What of a result is read here."""

    lse_d: FiniteFloat
    lse_c: FiniteFloat
    within_one_frame: FiniteFloat
    offset_mean_frames: FiniteFloat
    fid: FiniteFloat
    kid: FiniteFloat
    jitter_ratio: FiniteFloat
    lse_d_ci: Interval | None = None
    lse_c_ci: Interval | None = None
    jitter_ratio_ci: Interval | None = None
    within_one_frame_ci: Interval | None = None
    failures: list[_Failure]
    fid_num_images: int
    protocol: dict[str, Any]
    versions: Annotated[dict[str, str], Field(default_factory=dict)]


@dataclass(frozen=True)
class EarlierResult:
    """What ``score --out`` wrote: ``figures`` and the scored lines of the CSV beside them, None where that is gone."""

    path: Path
    figures: Figures
    clips: ClipScores | None

    @classmethod
    def read(cls, path: Path) -> EarlierResult:
        """Raises UserError that says what is wrong with the files."""
        try:
            figures = _Result.model_validate_json(path.read_bytes()).model_dump(exclude_none=True)
        except OSError as error:
            raise UserError(f"--against {path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}".lstrip(": ") for item in error.errors()]
            raise UserError(
                f"--against {path} is no result of `python -m pipeline score --out`: {'; '.join(faults)}"
            ) from None
        return cls(path, figures, _clips_beside(path, figures["lse_d"]))


def _clips_beside(path: Path, mean_lse_d: float) -> ClipScores | None:
    csv_path = path.with_suffix(".csv")
    try:
        clips = clip_scores(csv_path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, DataError) as error:
        raise UserError(f"{csv_path} is not as `score --out` wrote it: {error}") from None
    found = [clip.lse_d for clip in clips.values()]
    if not found or not math.isclose(sum(found) / len(found), mean_lse_d, abs_tol=CSV_DIGITS):
        raise UserError(f"{csv_path} does not belong to {path}: the mean of its LSE-D is another; remove or restore it")
    return clips


_REMEDIES = {
    "id": "only results of `python -m pipeline score` of one version compare; score those videos again",
    "num_pairs": "give the --reference it was scored with",
    "references_sha256": "the real videos are others: give the --reference it was scored with",
    "evaluator_sha256": "another evaluator gave its LSE, on its own scale: score those videos again",
}


def require_alike(ours: Figures, theirs: Figures, name: str) -> None:
    """Raises UserError naming the first setting in which two protocols differ; ``name`` says whose the other is."""
    for key in sorted({*ours, *theirs} - {"sha256"}, key=lambda key: (key != "id", key)):
        if ours.get(key) != theirs.get(key):
            remedy = _REMEDIES.get(key, "score those videos again, or take its settings in params.yaml")
            here, there = _apart(ours.get(key), theirs.get(key))
            raise UserError(f"{name} was scored differently: its {key} is {there}, here {here}; {remedy}")


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """Two unequal values as text; of mappings what is unequal in them."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
        one, other = ({key: side.get(key) for key in keys} for side in (one, other))
    return repr(one), repr(other)


def protocol_differences(ours: Figures, other: EarlierResult) -> list[str]:
    """What makes the figures of two results of one protocol less than comparable, in sentences."""
    name, theirs = str(other.path), other.figures
    lacking = [{failure["clip_id"] for failure in result["failures"]} for result in (ours, theirs)]
    said = [
        f"{who} without a score for {len(only)} clips that the other has, such as {min(only)}: the figures are of "
        "different clips"
        for who, only in (("these videos are", lacking[0] - lacking[1]), (f"{name} is", lacking[1] - lacking[0]))
        if only
    ]
    numbers = [result["fid_num_images"] for result in (ours, theirs)]
    if numbers[0] != numbers[1]:
        said.append(
            f"FID is of {numbers[0]} images here and of {numbers[1]} in {name}: it falls as they grow in number"
        )
    versions = [result.get("versions", {}) for result in (ours, theirs)]  # earlier results name none
    said += [
        f"{package} is {versions[0][package]} here and was {versions[1][package]} for {name}: last digits may differ"
        for package in differing(versions)
    ]
    if other.clips is None:
        said.append(f"{other.path.with_suffix('.csv')} is gone: without it the differences have no intervals")
    return said


def figures_table(ours: Figures) -> Table:
    """One line per figure, with its interval over clips where it has one."""
    return Table(["", "generated"], [[label, _with_interval(ours, key, scale)] for label, key, scale in METRICS])


def _with_interval(figures: Figures, key: str, scale: float) -> str:
    text = f"{scale * figures[key]:.3f}"
    if f"{key}_ci" not in figures:
        return text
    low, high = (scale * bound for bound in figures[f"{key}_ci"])
    return f"{text} [{low:.3f}, {high:.3f}]"


def against_table(
    ours: Figures, clips: ClipScores, other: EarlierResult, params: CompareParams, seed: int
) -> tuple[Table, list[str]]:
    """The figures of both and their differences, and sentences on how these are to be read.

    Differences of LSE have an interval over the clips that both scored, clip by clip: much narrower than the intervals
    of the two means, since a clip that is hard for one system is hard for the other.
    """
    theirs = other.clips or {}
    shared = sorted(clips.keys() & theirs.keys())
    cells, unclear = [], []
    for label, key, scale in METRICS:
        values = [figures[key] * scale for figures in (ours, other.figures)]
        difference = f"{values[0] - values[1]:+.3f}"
        if key in OF_CLIPS and len(shared) >= MIN_SHARED_CLIPS:
            by_clip = [getattr(clips[name], key) - getattr(theirs[name], key) for name in shared]
            low, high = mean_interval(by_clip, params.confidence, params.num_resamples, seed)
            difference = f"{sum(by_clip) / len(by_clip):+.3f} [{low:+.3f}, {high:+.3f}]"
            if low <= 0 <= high:
                unclear.append(label.split()[0])
        cells.append([label, _with_interval(ours, key, scale), _with_interval(other.figures, key, scale), difference])
    said = _on_differences(shared, unclear) if other.clips is not None else []
    return Table(["", "generated", other.path.name, "difference"], cells), said


def _on_differences(shared: Sequence[tuple[str, str]], unclear: Sequence[str]) -> list[str]:
    if len(shared) < MIN_SHARED_CLIPS:
        return [f"both have a score for {len(shared)} clips: too few for intervals of the differences"]
    said = [f"differences of LSE are over the {len(shared)} clips that both have, clip by clip"]
    if unclear:
        said.append(f"the interval of the difference in {' and '.join(unclear)} holds 0: which is better is not shown")
    return said
