"""How many processor cores this process may use."""

from __future__ import annotations

import os

SHARE_VARIABLE = "LIPSMITH_NUM_CORES"
"""Environment variable by which a flow tells a stage its share of the cores, where several run at once."""


def num_cores() -> int:
    """This process's share where it was given one, else the cores of its CPU set, or those of the machine."""
    if share := os.environ.get(SHARE_VARIABLE):
        return int(share)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
