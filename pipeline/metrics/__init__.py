"""Metrics as functions of arrays, without parameter files or logging set-up.

A metric raises an error for a clip on which it is not defined. The caller counts and lists these clips; none is dropped
silently.
"""

from __future__ import annotations

from pipeline.core.errors import DataError

MIN_FID_IMAGES = 2048
"""The number of Inception features. With fewer images their covariance is singular, and FID is biased upward.

It is defined here, so that reports can use it without torch.
"""


class ClipTooShortError(DataError):
    """The clip has too few frames or samples for the metric."""
