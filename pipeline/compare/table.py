"""Reads evaluation results, checks that they are comparable and joins them into rows."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.compare import differences
from pipeline.compare.intervals import MIN_INTERVAL_CLIPS, pooled_interval, ratio_interval, share_interval
from pipeline.compare.seeds import averaged
from pipeline.core.artifacts import read_json
from pipeline.core.choices import ClipStatus
from pipeline.core.errors import DataError, UserError
from pipeline.core.mappings import differing_keys
from pipeline.metrics import without_evaluator
from pipeline.metrics.fitness import fitness_of_rows

COMPARISON_CSV_COLUMNS = ("variant", "lse_d", "lse_c", "fid")
ROW_METRICS = (
    "variant",
    "lse_d",
    "lse_c",
    "fid",
    "lse_d_valid",
    "lse_c_valid",
    "num_clips",
    "num_failed",
    "num_rejected",
    "seconds",
    "num_short_clips",
    "offset_mean_frames",
    "offset_median_frames",
    "share_at_limit",
    "within_one_frame",
    "jitter_ratio",
    "opening_correlation",
    "pause_motion_px",
    "num_opening_clips",
    "num_pause_clips",
    "lips_missing",
    "kid",
    "fid_num_images",
    "versions",
)
PROBE_METRICS = (
    "reconstruction_ssim",
    "reconstruction_psnr_db",
    "reconstruction_warping_error",
    "real_warping_error",
    "silence_motion",
    "num_probes",
)
"""Metrics of rows with a generator only."""


@dataclass(frozen=True)
class ClipScore:
    """Scores of one clip in ``clips.csv``."""

    lse_d: float
    lse_c: float
    offset_frames: int
    mouth_jitter: float
    real_mouth_jitter: float
    opening_correlation: float | None = None
    pause_motion_px: float | None = None
    num_pause_steps: int = 0


@dataclass(frozen=True)
class Result:
    """One variant's evaluation: its ``metrics.json`` and the scored rows of its ``clips.csv``."""

    metrics: Mapping[str, Any]
    clips: Mapping[tuple[str, str], ClipScore]
    """Scores by the ids of video and audio."""

    @property
    def variant(self) -> str:
        return str(self.metrics["variant"])

    @property
    def protocol(self) -> dict[str, Any]:
        return dict(self.metrics["protocol"])

    @property
    def offset_histogram(self) -> dict[int, int]:
        """Number of clips per offset in frames; positive: the audio leads."""
        return {int(k): int(n) for k, n in self.metrics["offset_histogram"].items()}


def read_result(folder: Path) -> Result:
    """Read ``artifacts/evaluate/<variant>``.

    Raises UserError with the command that writes a missing file, and DataError for damaged scores.
    """
    for name in ("metrics.json", "clips.csv"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} does not exist; run `dvc repro` to evaluate {folder.name}")
    return Result(
        metrics=read_json(folder / "metrics.json"),
        clips=clip_scores((folder / "clips.csv").read_text(encoding="utf-8"), f"{folder / 'clips.csv'}"),
    )


def clip_scores(text: str, source: str = "clips.csv") -> dict[tuple[str, str], ClipScore]:
    """The scored lines of a ``clips.csv``, by the ids of video and audio.

    Raises DataError for text in another format.
    """
    try:
        scored_status: ClipStatus = "ok"
        scored = [row for row in csv.DictReader(io.StringIO(text)) if row["status"] == scored_status]
        return {(row["clip_id"], row["audio_clip_id"]): _clip_score(row) for row in scored}
    except (KeyError, TypeError, ValueError, csv.Error) as error:  # no such column, a short line, no number
        raise DataError(f"{source} is not in the format of an evaluation: {error!r}") from None


def _clip_score(row: Mapping[str, str]) -> ClipScore:
    return ClipScore(
        lse_d=float(row["lse_d"]),
        lse_c=float(row["lse_c"]),
        offset_frames=int(row["offset_frames"]),
        mouth_jitter=float(row["mouth_jitter"]),
        real_mouth_jitter=float(row["real_mouth_jitter"]),
        opening_correlation=_optional(row.get("opening_correlation")),
        pause_motion_px=_optional(row.get("pause_motion_px")),
        num_pause_steps=int(row.get("num_pause_steps") or 0),
    )


def _optional(cell: str | None) -> float | None:
    """The number in a cell that may be empty, or that a table of an earlier release lacks."""
    return float(cell) if cell else None


def scores_by_video(clips: Mapping[tuple[str, str], ClipScore], measure: str) -> dict[str, float]:
    """A measure by video; the mean over audios if a list pairs a video with several."""
    by_video: dict[str, list[float]] = {}
    for (video_id, _), score in clips.items():
        by_video.setdefault(video_id, []).append(getattr(score, measure))
    return {video_id: statistics.fmean(values) for video_id, values in by_video.items()}


def shared_protocol(results: Sequence[Result]) -> dict[str, Any]:
    """The protocol that all results share: pairing, evaluator, FID sampling and weights.

    Raises UserError with the first setting in which two results differ.
    """
    first = results[0]
    for other in results[1:]:
        if keys := differing_keys(first.protocol, other.protocol):
            key = next((key for key in keys if key != "sha256"), "sha256")
            ours, theirs = first.protocol.get(key), other.protocol.get(key)
            raise UserError(
                f"{other.variant} and {first.variant} have different protocols: protocol.{key} is {theirs!r} for "
                f"{other.variant} and {ours!r} for {first.variant}; to score all rows again, run "
                "`dvc repro --force --single-item evaluate evaluate_bound`, then `dvc repro`"
            )
    return first.protocol


def comparison(
    results: Sequence[Result],
    confidence: float,
    num_resamples: int,
    seed: int,
    repeats: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The content of ``comparison.json``: protocol, fitness of the evaluator, rows, and differences of variants.

    If the evaluator cannot judge the clips, its metrics are None, and there are no differences, which are of LSE.
    The intervals of rows are over clips, those of differences over videos and trainings. ``repeats``: variants that
    repeat another one with another seed -> that variant. Raises UserError if the protocols differ.
    """
    protocol = shared_protocol(results)
    trainings: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.variant in repeats):  # a variant before its repeats
        trainings.setdefault(repeats.get(result.variant, result.variant), []).append(result)
    of_videos = {
        measure: {
            name: [scores_by_video(result.clips, measure) for result in found] for name, found in trainings.items()
        }
        for measure in differences.DIRECTIONS
    }
    rows = []
    for result in results:
        row = {key: result.metrics[key] for key in ROW_METRICS}
        row |= {key: result.metrics[key] for key in PROBE_METRICS if key in result.metrics}
        row |= intervals_over_clips(result.clips, confidence, num_resamples, seed)
        if result.variant in repeats:
            row["repeats"] = repeats[result.variant]
        rows.append(row)
    fitness = fitness_of_rows(averaged(rows), protocol["evaluator"])
    resampling = confidence, num_resamples, seed
    return {
        "protocol": protocol,
        "fitness": {"is_fit": fitness.is_fit, "text": fitness.text},
        "rows": [without_evaluator(row) for row in rows] if fitness.is_unfit else rows,
        "differences": {} if fitness.is_unfit else differences.differences(of_videos, *resampling),
        "intervals": {
            "confidence": confidence,
            "num_resamples": num_resamples,
            "over": "clips",
            "num_videos": len(differences.all_videos(of_videos["lse_d"])),
        },
    }


def intervals_over_clips(
    clips: Mapping[tuple[str, str], ClipScore], confidence: float, num_resamples: int, seed: int
) -> dict[str, list[float]]:
    """Interval [low, high] of every score that is a mean over clips, under its name with ``_ci``.

    Scores of one video with several audios are similar. Resampling therefore draws a video with all its audios, and the
    interval of a share uses the number of videos. Fewer than `intervals.MIN_INTERVAL_CLIPS` videos give no interval.
    """
    by_video: dict[str, list[ClipScore]] = {}
    for (video_id, _), score in clips.items():
        by_video.setdefault(video_id, []).append(score)

    if len(by_video) < MIN_INTERVAL_CLIPS:
        return {}
    videos = list(by_video.values())

    def sums(key: str) -> list[float]:
        return [sum(getattr(score, key) for score in scores) for scores in videos]

    resampling = confidence, num_resamples, seed
    numbers = [len(scores) for scores in videos]
    share_near = statistics.fmean(abs(score.offset_frames) <= 1 for score in clips.values())
    intervals = {
        "lse_d": ratio_interval(sums("lse_d"), numbers, *resampling),
        "lse_c": ratio_interval(sums("lse_c"), numbers, *resampling),
        "within_one_frame": share_interval(share_near * len(by_video), len(by_video), confidence),
        "jitter_ratio": ratio_interval(sums("mouth_jitter"), sums("real_mouth_jitter"), *resampling),
        "opening_correlation": pooled_interval(videos, "opening_correlation", None, *resampling),
        "pause_motion_px": pooled_interval(videos, "pause_motion_px", "num_pause_steps", *resampling),
    }
    return {f"{key}_ci": [found.low, found.high] for key, found in intervals.items() if found}


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """LSE-D, LSE-C and FID, one line per variant, for ``dvc plots``; an empty cell for None."""
    lines = [",".join(COMPARISON_CSV_COLUMNS)]
    for row in rows:
        lines.append(",".join("" if row[key] is None else str(row[key]) for key in COMPARISON_CSV_COLUMNS))
    return "\n".join(lines) + "\n"
