"""Metrics as functions of arrays, without parameter files or logging set-up.

A metric raises an error for a clip on which it is not defined. The caller counts and lists these clips; none is dropped
silently.
"""

from __future__ import annotations

from pipeline.core.errors import DataError


class ClipTooShortError(DataError):
    """The clip has too few frames or samples for the metric."""
