"""The table ``clips.csv`` of an evaluation: one line per pair."""

from __future__ import annotations

import csv
import io
from typing import Any

from pipeline.core.choices import ClipStatus
from pipeline.evaluation.score import VariantScore
from pipeline.metrics.lips import LipScore

CLIP_CSV_COLUMNS = (
    "clip_id",
    "audio_clip_id",
    "lse_d",
    "lse_c",
    "offset_frames",
    "num_frames",
    "status",
    "reason",
    "mouth_jitter",
    "real_mouth_jitter",
    "lse_d_valid",
    "lse_c_valid",
    "opening_correlation",
    "pause_motion_px",
    "num_pause_steps",
)


def clips_csv(score: VariantScore, *, has_sync: bool = True) -> str:
    """The content of ``clips.csv``: one line per pair, including failed ones.

    Without ``has_sync`` the columns that the evaluator measures are empty.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CLIP_CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for item in score.results:
        status: ClipStatus = "failed" if item.lse is None else "ok"
        row: dict[str, Any] = {
            "clip_id": item.pair.video_id,
            "audio_clip_id": item.pair.audio_id,
            "status": status,
            "reason": item.failure or item.note,
        }
        if item.lse is not None:
            row |= {
                "num_frames": item.num_frames,
                "mouth_jitter": f"{item.mouth_jitter:.4f}",
                "real_mouth_jitter": f"{item.real_mouth_jitter:.4f}",
            }
        if item.lse is not None and has_sync:
            row |= {
                "lse_d": f"{item.lse.lse_d:.6f}",
                "lse_c": f"{item.lse.lse_c:.6f}",
                "offset_frames": item.lse.offset_frames,
                "lse_d_valid": f"{item.lse.lse_d_valid:.6f}",
                "lse_c_valid": f"{item.lse.lse_c_valid:.6f}",
            }
        if item.lse is not None and item.lips is not None:
            row |= _lip_cells(item.lips)
        writer.writerow(row)
    return text.getvalue()


def _lip_cells(lips: LipScore) -> dict[str, Any]:
    correlation, motion_px = lips.opening_correlation, lips.pause_motion_px
    return {
        "opening_correlation": "" if correlation is None else f"{correlation:.6f}",
        "pause_motion_px": "" if motion_px is None else f"{motion_px:.6f}",
        "num_pause_steps": lips.num_pause_steps,
    }
