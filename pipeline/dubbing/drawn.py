"""Which output frames get a generated mouth, and whether they are enough."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.dubbing.blend import Shares
from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.numbered_faces import NumberedFace
from pipeline.dubbing.option_values import OnMissing
from pipeline.dubbing.summary import DubbedFace

MIN_DUBBED = 0.5
"""Smallest share of frames with the face, unless frames without it are to be kept."""


class DrawnFrames:
    """The output frames with a generated mouth: those that should have one and show the face.

    ``sources: int64 [K]`` are the source frames of the K output frames, ``shares: float32 [K]`` the shares of the
    generated mouth, ``times_s: float64 [K + 1]`` their times and the end of the last one.
    """

    def __init__(
        self, followed: Followed, sources: NDArray[np.int64], shares: Shares, times_s: NDArray[np.float64]
    ) -> None:
        self._times_s, self._sources = times_s, sources
        self._paths = None if followed.paths is None else followed.paths[sources]
        self._is_wanted = shares > 0
        self._is_drawn = self._is_wanted & np.isfinite(followed.boxes[sources, 0])

    @property
    def num_drawn(self) -> int:
        return int(self._is_drawn.sum())

    @property
    def num_missing(self) -> int:
        return int(self._is_wanted.sum()) - self.num_drawn

    def require(self, face: Path, on_missing: OnMissing, min_dubbed: float | None) -> None:
        """Raises DataError if too few frames of ``face`` can have a generated mouth."""
        num_wanted = int(self._is_wanted.sum())
        if min_dubbed is None:
            min_dubbed = 0.0 if on_missing == "keep" else MIN_DUBBED
        if not self.num_missing or (on_missing != "error" and self.num_drawn >= min_dubbed * num_wanted):
            return
        if not self.num_drawn:
            num_searched = len(np.unique(self._sources[self._is_wanted]))
            where = f"any of {num_searched} frames" if num_searched > 1 else "its only frame"
            raise DataError(
                f"{face}: no face to dub in {where}; if one is visible, lower preprocess.detector_score in params.yaml"
            )
        remedy = "lower --min-dubbed" if on_missing == "keep" else "use --on-missing keep to keep such frames unchanged"
        first = np.flatnonzero(self._is_wanted & ~self._is_drawn)[0]
        limit = "" if on_missing == "error" else f", but at least {min_dubbed:.0%} must show it (--min-dubbed)"
        raise DataError(
            f"{face}: no face to dub in {self.num_missing} of {num_wanted} frames of the output, first at "
            f"{self._times_s[first]:.2f} s{limit}; {remedy}"
        )

    def faces(self, faces: Sequence[NumberedFace], *, has_numbers: bool) -> tuple[DubbedFace, ...]:
        """The faces with generated mouths. ``has_numbers``: whether the numbers are those of ``list_faces``."""
        dubbed = []
        for face in faces:
            is_its = np.zeros_like(self._is_drawn) if self._paths is None else np.isin(self._paths, face.paths)
            frames = np.flatnonzero(self._is_drawn & is_its)
            if len(frames):
                start_s = round(float(self._times_s[frames[0]]), 6)
                end_s = round(float(self._times_s[frames[-1] + 1]), 6)
                dubbed.append(
                    DubbedFace(
                        number=face.number if has_numbers else None,
                        num_frames=len(frames),
                        start_s=start_s,
                        end_s=end_s,
                        box_px=face.box_px,
                    )
                )
        return tuple(dubbed)
