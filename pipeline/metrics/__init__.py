"""Metrics as functions of arrays: no files, no parameters, no logging set-up.

A clip that a metric is not defined on raises an error the caller counts and lists; none is dropped silently.
"""

from __future__ import annotations


class ClipTooShortError(ValueError):
    """The clip has too few frames or samples for the metric to be defined."""
