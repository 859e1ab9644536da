"""Finds the beginnings of shots, and selects the generator's reference image, which defines the speaker's identity.

The current frame has the best pose, but its mouth matches the original speech, and generators partly copy it. The first
frame of the shot is constant, so only the new audio moves the mouth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CUT_DIFFERENCE = 40.0
"""Mean difference of neighbouring crops, in grey levels, above which a cut is certain.

Within 29 GRID clips it is at most 7.3. Between two GRID speakers under the same light it is often below the limit.
"""


class ShotStarts:
    """Detects which crops begin a shot, given the crops of a video in order.

    ``cuts`` are the first frames of shots, as in ``Followed.shot_starts``. A new shot begins at a cut, at a jump of
    the source index (no face, or the video restarts), and where neighbouring crops differ by more than
    ``CUT_DIFFERENCE``.
    """

    def __init__(self, cuts: Sequence[int] = ()) -> None:
        self._cuts = frozenset(cuts)
        self._last: NDArray[np.uint8] | None = None
        self._last_source = 0

    def __call__(self, crop: NDArray[np.uint8], source: int) -> bool:
        """Whether ``crop: uint8 [S, S, 3]`` of the source frame ``source`` begins a shot."""
        last, last_source = self._last, self._last_source
        self._last, self._last_source = crop, source
        if last is None:
            return True
        if source == last_source:  # the frame is shown again: a picture, or a pause of a varying rate
            return False
        if abs(source - last_source) != 1 or max(source, last_source) in self._cuts:
            return True
        return float(np.abs(crop.astype(np.int16) - last).mean()) > CUT_DIFFERENCE


class ShotReference:
    """Returns the first crop of the current shot, also across batches."""

    def __init__(self) -> None:
        self._first: NDArray[np.uint8]

    def __call__(self, crops: NDArray[np.uint8], begins_shot: Sequence[bool]) -> NDArray[np.uint8]:
        """Reference crops, uint8 [N, S, S, 3], for ``crops`` of the same shape.

        ``begins_shot``: whether each crop begins a shot; the first crop of a video does.
        """
        references = []
        for crop, is_first in zip(crops, begins_shot, strict=True):
            if is_first:
                self._first = crop
            references.append(self._first)
        return np.stack(references)
