"""Optical flow between neighbouring frames, and where it is reliable.

Flow is backward: the content of pixel (x, y) of frame t was at (x, y) + flow in frame t - 1.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SLACK, _SLACK_PX2 = 0.01, 0.5
"""Forward-backward check: tolerance relative to the squared flow lengths, plus px² (Sundaram et al. 2010)."""


def backward_flows(frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Dense inverse search (Kroeger et al. 2016) between neighbours: uint8 [N, H, W, 3] BGR -> flows and visibility.

    Flows are float32 [N - 1, H, W, 2], x and y in pixels. Visibility is bool [N - 1, H, W]: true if the flow stays
    within the frame and the forward flow leads back. The result does not depend on the number of threads.
    """
    num, height, width = frames.shape[:3]
    flows = np.zeros((max(0, num - 1), height, width, 2), np.float32)
    is_visible = np.zeros(flows.shape[:3], bool)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)  # the preset stops at half resolution, too coarse for the lips of a 96 px face
    greys = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames)
    for index, (before, now) in enumerate(itertools.pairwise(greys)):
        back: Any = search.calc(now, before, None)
        forth: Any = search.calc(before, now, None)
        flows[index], is_visible[index] = back, _is_undone(back, forth)
    return flows, is_visible


def _is_undone(back: NDArray[np.float32], forth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mask bool [H, W] of pixels where ``forth``, sampled at the end of ``back``, leads back to the start."""
    height, width = back.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + back[..., 0], y + back[..., 1]
    there: Any = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    missed = np.square(back + there).sum(axis=-1)
    lengths = np.square(back).sum(axis=-1) + np.square(there).sum(axis=-1)
    is_inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    undone: NDArray[np.bool_] = is_inside & (missed < _SLACK * lengths + _SLACK_PX2)
    return undone
