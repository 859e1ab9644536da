"""Metrics as functions of arrays, without parameter files or logging set-up, and what limits their meaning.

A metric raises an error for a clip on which it is not defined; the lip metrics are None instead. The caller counts and
lists these clips; none is dropped silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import DataError

MIN_FID_IMAGES = 2048
"""The number of Inception features. With fewer images their covariance is singular, and FID is biased upward.

It is defined here, so that reports can use it without torch.
"""
OF_EVALUATOR = frozenset(
    {
        "lse_d",
        "lse_c",
        "lse_d_valid",
        "lse_c_valid",
        "offset_mean_frames",
        "offset_median_frames",
        "share_at_limit",
        "within_one_frame",
        "offset_histogram",
    }
)
"""The metrics that the evaluator measures. They mean nothing if it cannot judge the clips."""


def without_evaluator(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures with None for each metric of the evaluator, and for its interval (the same name with ``_ci``)."""
    return {key: None if key.removesuffix("_ci") in OF_EVALUATOR else value for key, value in figures.items()}


class ClipTooShortError(DataError):
    """The clip has too few frames or samples for the metric."""
