"""Which picture shows the generator whose face it draws.

The frame itself fits best in pose, but its mouth still says the old words, and a generator copies some of it. The
first frame of a shot has one mouth for all of them, so whatever moves follows the new sound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CUT_DIFFERENCE = 40.0
"""Mean difference of neighbouring crops, in grey levels, that is a cut for sure: at most 7.3 within 29 GRID clips. Of
two GRID speakers under one light it is often less."""


class ShotReference:
    """The first crop of each shot, remembered from batch to batch; ``cuts`` are the first frames of shots."""

    def __init__(self, cuts: Sequence[int] = ()) -> None:
        self._cuts = frozenset(cuts)
        self._first: NDArray[np.uint8] | None = None
        self._last: NDArray[np.uint8] | None = None
        self._last_source = 0

    def __call__(self, crops: NDArray[np.uint8], sources: Sequence[int]) -> NDArray[np.uint8]:
        """The reference of each of ``crops: uint8 [N, 96, 96, 3]``, taken from the video's frames ``sources``.

        A shot ends at a cut, where frames are left out (nobody was seen, or the video starts over) and where
        neighbours have little in common.
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
