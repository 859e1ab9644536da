"""Compares the metrics of scored videos with an earlier result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from pipeline.compare.intervals import MIN_INTERVAL_CLIPS, mean_interval
from pipeline.compare.table import ClipScore, clip_scores
from pipeline.core.choices import UNNAMED_GEOMETRY
from pipeline.core.errors import DataError, UserError
from pipeline.core.mappings import differing_keys
from pipeline.core.versions import differing
from pipeline.evaluation.videos.encodings import encoding_differences
from pipeline.evaluation.videos.result_files import clips_csv_path
from pipeline.params.scoring import CompareParams
from pipeline.report.tables import Table

METRICS = (
    ("LSE-D ↓", "lse_d", 1),
    ("LSE-C ↑", "lse_c", 1),
    ("clips within 1 frame, % ↑", "within_one_frame", 100),
    ("median offset, frames (audio ahead: +)", "offset_median_frames", 1),
    ("clips at the search limit, %", "share_at_limit", 100),
    ("FID ↓", "fid", 1),
    ("1000 KID ↓", "kid", 1000),
    ("jitter / real (both as encoded)", "jitter_ratio", 1),
    ("opening ~ loudness ↑", "opening_correlation", 1),
    ("opening ~ loudness, real videos", "real_opening_correlation", 1),
    ("lips in pauses, px", "pause_motion_px", 1),
    ("lips in pauses, px, real videos", "real_pause_motion_px", 1),
)
"""Label, key in a result, and the factor applied for display."""
EDGE_METRICS = (("LSE-D ↓, edge valid", "lse_d_valid", 1), ("LSE-C ↑, edge valid", "lse_c_valid", 1))
"""Shown after LSE if a result has short clips."""
FITNESS_LABEL = "evaluator can judge these clips"
OF_CLIPS = ("lse_d", "lse_c")
"""Metrics that are means over clips."""
CSV_TOLERANCE = 1e-5

Figures = Mapping[str, Any]
ClipScores = Mapping[tuple[str, str], ClipScore]
_Bounds = tuple[FiniteFloat, FiniteFloat]


class _Failure(BaseModel):
    clip_id: str


class _Fitness(BaseModel):
    is_fit: bool | None
    num_real_videos: int
    num_within_one_frame: int


class _Result(BaseModel):
    """The fields of a result that the comparison uses. Metrics of an evaluator that cannot judge the clips are None."""

    fitness: _Fitness
    lse_d: FiniteFloat | None
    lse_c: FiniteFloat | None
    within_one_frame: FiniteFloat | None
    lse_d_valid: FiniteFloat | None
    lse_c_valid: FiniteFloat | None
    offset_median_frames: FiniteFloat | None
    share_at_limit: FiniteFloat | None
    num_short_clips: int
    fid: FiniteFloat
    kid: FiniteFloat
    jitter_ratio: FiniteFloat
    lse_d_ci: _Bounds | None = None
    lse_c_ci: _Bounds | None = None
    jitter_ratio_ci: _Bounds | None = None
    opening_correlation: FiniteFloat | None = None  # results of earlier releases lack the lip metrics
    real_opening_correlation: FiniteFloat | None = None
    pause_motion_px: FiniteFloat | None = None
    real_pause_motion_px: FiniteFloat | None = None
    opening_correlation_ci: _Bounds | None = None
    pause_motion_px_ci: _Bounds | None = None
    within_one_frame_ci: _Bounds | None = None
    failures: list[_Failure]
    fid_num_images: int
    protocol: dict[str, Any]
    versions: Annotated[dict[str, str], Field(default_factory=dict)]


@dataclass(frozen=True)
class EarlierResult:
    """An output of ``score --out``: ``figures``, and the scored rows of its CSV, or None if it has no LSE of clips.

    The CSV is missing, or the LSE is withheld because the evaluator cannot judge the clips.
    """

    path: Path
    figures: Figures
    clips: ClipScores | None

    @classmethod
    def read(cls, path: Path) -> EarlierResult:
        """Read a result and its CSV. Raises UserError if a file is unreadable or invalid, or if they do not match."""
        try:
            figures = _Result.model_validate_json(path.read_bytes()).model_dump()
        except OSError as error:
            raise UserError(f"--against {path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}".lstrip(": ") for item in error.errors()]
            raise UserError(
                f"--against {path} is not a result of `python -m pipeline score --out`: {'; '.join(faults)}"
            ) from None
        is_withheld = figures["lse_d"] is None
        return cls(path, figures, None if is_withheld else _read_clips(path, figures["lse_d"]))


def _read_clips(path: Path, mean_lse_d: float) -> ClipScores | None:
    csv_path = clips_csv_path(path)
    try:
        clips = clip_scores(csv_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, DataError) as error:
        raise UserError(f"{csv_path} is not a CSV of `python -m pipeline score --out`: {error}") from None
    found = [clip.lse_d for clip in clips.values()]
    if not found or not math.isclose(sum(found) / len(found), mean_lse_d, abs_tol=CSV_TOLERANCE):
        raise UserError(f"{csv_path} does not belong to {path}: their mean LSE-D differs; remove or restore the CSV")
    return clips


_REMEDIES = {
    "crop": "their face crops show other parts; set preprocess.crop in params.yaml to the value of that result",
    "id": "only results with the same protocol id are comparable; score those videos again",
    "num_pairs": "use the --real folder of that result",
    "real_videos_sha256": "the real videos differ; use the --real folder of that result",
    "evaluator_sha256": "the evaluators differ, and so do their LSE scales; score those videos again",
}


def require_alike(ours: Figures, theirs: Figures, name: str) -> None:
    """Raises UserError with the first setting that differs between two protocols; ``name`` identifies ``theirs``.

    Encodings may differ: `protocol_differences` warns of them.
    """
    theirs = {"crop": UNNAMED_GEOMETRY, **theirs}  # results of earlier releases do not name it
    if "references_sha256" in theirs:  # the name in results of earlier releases
        theirs["real_videos_sha256"] = theirs.pop("references_sha256")
    if keys := differing_keys(ours, theirs, ["sha256", "encodings"]):
        key = "id" if "id" in keys else keys[0]
        remedy = _REMEDIES.get(key, "score those videos again, or use its settings in params.yaml")
        now, then = _unequal_parts(ours.get(key), theirs.get(key))
        raise UserError(f"{name} has another protocol: {key} was {then} and is now {now}; {remedy}")


def _unequal_parts(one: Any, other: Any) -> tuple[str, str]:
    """Two unequal values as text. Mappings are reduced to their unequal items."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = differing_keys(one, other)
        one, other = ({key: side.get(key) for key in keys} for side in (one, other))
    return repr(one), repr(other)


def protocol_differences(ours: Figures, other: EarlierResult) -> list[str]:
    """Warnings about limited comparability of two results of the same protocol, one sentence each."""
    name, theirs = str(other.path), other.figures
    failed = [{failure["clip_id"] for failure in result["failures"]} for result in (ours, theirs)]
    notes = [
        f"{owner} no score for {len(only)} clips that the other result has, such as {min(only)}: the metrics cover "
        "different clips"
        for owner, only in (("these videos have", failed[0] - failed[1]), (f"{name} has", failed[1] - failed[0]))
        if only
    ]
    numbers = [result["fid_num_images"] for result in (ours, theirs)]
    if numbers[0] != numbers[1]:
        notes.append(
            f"FID uses {numbers[0]} images here and {numbers[1]} in {name}: FID decreases with the number of images"
        )
    versions = [result.get("versions", {}) for result in (ours, theirs)]  # results of earlier releases have none
    notes += [
        f"{package} is {versions[0][package]} here and was {versions[1][package]} for {name}: last digits may differ"
        for package in differing(versions)
    ]
    notes += encoding_differences(ours.get("protocol", {}), theirs.get("protocol", {}), name)
    if other.clips is None and theirs["lse_d"] is not None:
        notes.append(f"{clips_csv_path(other.path)} is missing: the differences have no intervals")
    return notes


def figures_table(ours: Figures) -> Table:
    """Whether the evaluator can judge the clips, then one row per metric, with its interval over clips if any."""
    cells = [[label, _with_interval(ours, key, scale)] for label, key, scale in _metrics_of(ours)]
    return Table(["", "generated"], [[FITNESS_LABEL, _verdict(ours)], *cells])


def _metrics_of(*results: Figures) -> list[tuple[str, str, int]]:
    """The metrics to show: those without zero vectors beyond the ends of clips only if these matter."""
    has_short = any(figures["num_short_clips"] for figures in results)
    return [*METRICS[:2], *(EDGE_METRICS if has_short else ()), *METRICS[2:]]


def _verdict(figures: Figures) -> str:
    fitness = figures["fitness"]
    numbers = f"{fitness['num_within_one_frame']} of {fitness['num_real_videos']} real videos within 1 frame"
    if fitness["is_fit"] is None:
        return f"unknown: {numbers}" if fitness["num_real_videos"] else "unknown"
    return f"{'yes' if fitness['is_fit'] else 'no'}: {numbers}"


def _with_interval(figures: Figures, key: str, scale: float) -> str:
    if figures[key] is None:
        return "-"
    text, bounds = f"{scale * figures[key]:.3f}", figures.get(f"{key}_ci")
    if bounds is None:
        return text
    low, high = (scale * bound for bound in bounds)
    return f"{text} [{low:.3f}, {high:.3f}]"


def against_table(
    ours: Figures, clips: ClipScores, other: EarlierResult, params: CompareParams, seed: int
) -> tuple[Table, list[str]]:
    """A table of both results' metrics and their differences, and notes on the differences.

    Metrics that a result withholds have a dash and no difference; there is no note on their differences.
    LSE differences are paired over the clips that both results scored. Their interval, if there are enough clips, is
    much narrower than the intervals of the two means, because clips are similarly difficult for both systems.
    """
    theirs = other.clips or {}
    shared = sorted(clips.keys() & theirs.keys())
    cells, unclear = [[FITNESS_LABEL, _verdict(ours), _verdict(other.figures), ""]], []
    for label, key, scale in _metrics_of(ours, other.figures):
        values = [figures[key] for figures in (ours, other.figures)]
        is_withheld = None in values
        difference = "-" if is_withheld else f"{scale * (values[0] - values[1]):+.3f}"
        if not is_withheld and key in OF_CLIPS and shared:
            by_clip = [getattr(clips[name], key) - getattr(theirs[name], key) for name in shared]
            difference = f"{sum(by_clip) / len(by_clip):+.3f}"
            if len(shared) >= MIN_INTERVAL_CLIPS:
                interval = mean_interval(by_clip, params.confidence, params.num_resamples, seed)
                difference += f" [{interval.low:+.3f}, {interval.high:+.3f}]"
                if interval.has_zero:
                    unclear.append(label.split()[0])
        cells.append([label, _with_interval(ours, key, scale), _with_interval(other.figures, key, scale), difference])
    has_sync = ours["lse_d"] is not None and other.clips is not None
    notes = _on_differences(shared, unclear) if has_sync else []
    return Table(["", "generated", other.path.name, "difference"], cells), notes


def _on_differences(shared: Sequence[tuple[str, str]], unclear: Sequence[str]) -> list[str]:
    if len(shared) < MIN_INTERVAL_CLIPS:
        return [
            f"both results have a score for only {len(shared)} clips: too few for intervals of the differences, which "
            f"need {MIN_INTERVAL_CLIPS}"
        ]
    notes = [f"LSE differences are paired over the {len(shared)} clips that both results have"]
    if unclear:
        notes.append(
            f"the interval of the {' and '.join(unclear)} difference contains 0: the better result is undecided"
        )
    return notes
