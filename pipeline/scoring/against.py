"""Figures of scored videos beside those of an earlier result."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.compare.intervals import mean_interval
from pipeline.compare.table import ClipScore, clip_scores
from pipeline.markdown import Table
from pipeline.params.scoring import CompareParams
from pipeline.versions import differing

METRICS = (
    ("LSE-D ↓", "lse_d", 1),
    ("LSE-C ↑", "lse_c", 1),
    ("FID ↓", "fid", 1),
    ("1000 KID ↓", "kid", 1000),
    ("jitter / real (both as encoded)", "jitter_ratio", 1),
)
"""Label, name in a result, and by what it is multiplied to be read."""
OF_CLIPS = ("lse_d", "lse_c")
"""Figures that are means over clips."""

Figures = Mapping[str, Any]
ClipScores = Mapping[tuple[str, str], ClipScore]


@dataclass(frozen=True)
class EarlierResult:
    """What ``score --out`` wrote: ``figures`` and the scored lines of the CSV beside them, None where that is gone."""

    path: Path
    figures: Figures
    clips: ClipScores | None

    @classmethod
    def read(cls, path: Path) -> EarlierResult:
        """Raises ValueError that says what is wrong with the file."""
        try:
            figures = json.loads(path.read_text())
        except OSError as error:
            raise ValueError(f"--against {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"--against {path} is no JSON: {error}") from None
        if lacking := _lacking(figures):
            raise ValueError(
                f"--against {path} is no result of `python -m pipeline score --out`: it has no {', '.join(lacking)}"
            )
        try:
            clips = clip_scores(path.with_suffix(".csv").read_text())
        except FileNotFoundError:
            clips = None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path.with_suffix('.csv')} is not as `score --out` wrote it: {error!r}") from None
        return cls(path, figures, clips)


def _lacking(figures: Any) -> list[str]:
    if not isinstance(figures, dict):
        return ["figures"]
    lacking = [key for _, key, _ in METRICS if not _is_finite(figures.get(key))]
    lacking += [key for key in ("failures", "fid_num_images") if key not in figures]
    protocol = figures.get("protocol")
    return lacking if isinstance(protocol, dict) and "sha256" in protocol else [*lacking, "protocol"]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def require_alike(ours: Figures, theirs: Figures, name: str) -> None:
    """Raises ValueError naming the first setting in which two protocols differ; ``name`` says whose the other is."""
    for key in sorted({*ours, *theirs} - {"sha256"}):
        if key == "num_pairs" and ours.get(key) != theirs.get(key):
            raise ValueError(
                f"{name} was scored against {theirs.get(key)} real videos, here are {ours.get(key)}: give the "
                "--reference it was scored with"
            )
        if ours.get(key) != theirs.get(key):
            raise ValueError(f"{name} was scored differently: its {key} is {theirs.get(key)!r}, here {ours.get(key)!r}")


def differences(ours: Figures, other: EarlierResult) -> list[str]:
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
    shared = sorted(clips.keys() & (other.clips or {}).keys())
    cells, unclear = [], []
    for label, key, scale in METRICS:
        values = [figures[key] * scale for figures in (ours, other.figures)]
        difference = f"{values[0] - values[1]:+.3f}"
        if key in OF_CLIPS and shared and other.clips is not None:
            by_clip = [getattr(clips[name], key) - getattr(other.clips[name], key) for name in shared]
            low, high = mean_interval(by_clip, params.confidence, params.num_resamples, seed)
            difference = f"{sum(by_clip) / len(by_clip):+.3f} [{low:+.3f}, {high:+.3f}]"
            if low <= 0 <= high:
                unclear.append(label.split()[0])
        cells.append([label, _with_interval(ours, key, scale), _with_interval(other.figures, key, scale), difference])
    said = _on_differences(shared, unclear, params.confidence)
    return Table(["", "generated", other.path.name, "difference"], cells), said


def _on_differences(shared: Sequence[tuple[str, str]], unclear: Sequence[str], confidence: float) -> list[str]:
    if not shared:
        return []
    said = [
        f"[]: {confidence:.0%} bootstrap interval over clips; differences of LSE are over the {len(shared)} clips that "
        "both have"
    ]
    if unclear:
        said.append(f"the interval of the difference in {' and '.join(unclear)} holds 0: which is better is not shown")
    return said
