"""Evaluation results read, checked for comparability and joined into rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.compare.bootstrap import mean_interval

CSV_COLUMNS = ("variant", "lse_d", "lse_c", "fid")
COPIED = (
    "variant",
    "lse_d",
    "lse_c",
    "fid",
    "num_clips",
    "num_failed",
    "num_rejected",
    "seconds",
    "offset_mean_frames",
    "within_one_frame",
    "jitter_ratio",
    "kid",
    "fid_num_images",
    "versions",
)


OF_ARMS = (
    "reconstruction_ssim",
    "reconstruction_psnr_db",
    "reconstruction_warping_error",
    "real_warping_error",
    "silence_motion",
    "num_probes",
)
"""What a row without a generator does not have."""


@dataclass(frozen=True)
class Result:
    """One variant's evaluation: its ``metrics.json`` and the scored rows of its ``clips.csv``."""

    metrics: Mapping[str, Any]
    lse_d_of: Mapping[tuple[str, str], float]
    """LSE-D by the ids of video and audio; likewise ``lse_c_of``."""
    lse_c_of: Mapping[tuple[str, str], float]

    @property
    def variant(self) -> str:
        return str(self.metrics["variant"])

    @property
    def protocol(self) -> dict[str, Any]:
        return dict(self.metrics["protocol"])

    @property
    def offset_histogram(self) -> dict[int, int]:
        """Clips per offset in frames; positive means audio leads."""
        return {int(k): int(n) for k, n in self.metrics["offset_histogram"].items()}


def read_result(folder: Path) -> Result:
    """Read ``artifacts/evaluate/<variant>``. Raises FileNotFoundError with the command that fills it."""
    for name in ("metrics.json", "clips.csv"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} does not exist; `dvc repro` evaluates {folder.name}")
    with (folder / "clips.csv").open(newline="") as file:
        scored = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    return Result(
        metrics=json.loads((folder / "metrics.json").read_text()),
        lse_d_of={(row["clip_id"], row["audio_clip_id"]): float(row["lse_d"]) for row in scored},
        lse_c_of={(row["clip_id"], row["audio_clip_id"]): float(row["lse_c"]) for row in scored},
    )


def shared_protocol(results: Sequence[Result]) -> dict[str, Any]:
    """The one protocol of all results.

    Raises ValueError that names the first setting in which two results differ: pairing, evaluator, FID sampling and
    weights must be equal before figures may share a table.
    """
    first = results[0]
    for other in results[1:]:
        keys = sorted((first.protocol.keys() | other.protocol.keys()) - {"sha256"})
        for key in [*keys, "sha256"]:
            ours, theirs = first.protocol.get(key), other.protocol.get(key)
            if ours != theirs:
                raise ValueError(
                    f"{other.variant} and {first.variant} were not scored alike: protocol.{key} is {theirs!r} for "
                    f"{other.variant} and {ours!r} for {first.variant}; "
                    "`dvc repro --force --single-item evaluate evaluate_bound`, then `dvc repro`, scores all again"
                )
    return first.protocol


def comparison(results: Sequence[Result], confidence: float, num_resamples: int, seed: int) -> dict[str, Any]:
    """The content of ``comparison.json``: the shared protocol and one row per variant with intervals over clips."""
    protocol = shared_protocol(results)
    rows = []
    for result in results:
        row = {key: result.metrics[key] for key in COPIED}
        row |= {key: result.metrics[key] for key in OF_ARMS if key in result.metrics}
        for name, values in (("lse_d_ci", result.lse_d_of), ("lse_c_ci", result.lse_c_of)):
            row[name] = list(mean_interval(list(values.values()), confidence, num_resamples, seed))
        rows.append(row)
    return {
        "protocol": protocol,
        "rows": rows,
        "intervals": {"confidence": confidence, "num_resamples": num_resamples, "over": "clips"},
    }


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """The three headline figures, one line per variant, for ``dvc plots``."""
    lines = [",".join(CSV_COLUMNS)]
    lines += [",".join(str(row[column]) for column in CSV_COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"
