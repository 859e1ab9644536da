"""Selects the generator's reference image, which defines the speaker's identity.

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


class ShotReference:
    """Returns the first crop of the current shot, also across batches; ``cuts`` are the first frames of shots."""

    def __init__(self, cuts: Sequence[int] = ()) -> None:
        self._cuts = frozenset(cuts)
        self._first: NDArray[np.uint8] | None = None
        self._last: NDArray[np.uint8] | None = None
        self._last_source = 0

    def __call__(self, crops: NDArray[np.uint8], sources: Sequence[int]) -> NDArray[np.uint8]:
        """Reference crops, uint8 [N, 96, 96, 3], for ``crops`` of the same shape from the source frames ``sources``.

        A new shot begins at a cut, at a jump of the source index (no face, or the video restarts), and where
        neighbouring crops differ by more than ``CUT_DIFFERENCE``.
        """
        references = []
        for crop, source in zip(crops, sources, strict=True):
            if self._first is None or self._is_cut(crop, source):
                self._first = crop
            self._last, self._last_source = crop, source
            references.append(self._first)
        return np.stack(references)

    def _is_cut(self, crop: NDArray[np.uint8], source: int) -> bool:
        assert self._last is not None
        if abs(source - self._last_source) != 1 or max(source, self._last_source) in self._cuts:
            return True
        return float(np.abs(crop.astype(np.int16) - self._last).mean()) > CUT_DIFFERENCE
