"""Restores fine detail in the generated mouth: a small crop loses it, and the generator blurs.

Detail is what a Gaussian blur of ``SPLIT_PX`` removes. Where the generated crop has the structure of the source's, such
as on cheeks and chin, the detail is the source's. Where the generator moved something, such as the lips, the source's
detail belongs to another mouth. There the generated detail stays and is amplified until its contrast equals that of the
source's detail, by ``MAX_GAIN`` at most.

Constants in crop pixels are for crops of 96 px. For crops of other sizes they are scaled.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.paste import MouthArea, Refine
from pipeline.faces.crops import CROP_PX
from pipeline.media.image import blur_xy, largest_around

SPLIT_PX = 1.5
"""Standard deviation of the blur that divides an image into its coarse part and its detail, in crop pixels."""
CONTEXT_PX = 6.0
"""Differences of two crops that are wider than a blur of this standard deviation are shading, in crop pixels."""
SAME, CHANGED = 3.0, 9.0
"""Structures that differ by less than the first are the same, by more than the second they are not; grey levels."""
SPREAD_PX = 5
"""Detail of the source is left out up to this distance from a changed structure, in crop pixels."""
MAX_GAIN = 1.5
"""Largest factor for the generated detail. A sharp generator needs less; blur would become hard borders."""
AGREEMENT_TIME_S = 0.2
"""Time over which the agreement and the gain are averaged, s."""


class MouthDetail:
    """Adds detail to the mouths of the frames of a video, in order.

    ``strength``: 0 adds none, 1 all. Averages over time end at each shot.
    """

    def __init__(self, strength: float, fps: float) -> None:
        self._strength = strength
        self._keep = math.exp(-1 / (AGREEMENT_TIME_S * fps))
        self._agreement: NDArray[np.float32] | None = None
        self._contrasts = np.zeros(2)

    def __call__(self, crop: NDArray[np.uint8], generated: NDArray[np.uint8], begins_shot: bool) -> Refine | None:
        """What ``paste_mouth`` does to the mouth of ``generated``; None if nothing is added.

        ``crop``, of the source, and ``generated`` are uint8 [S, S, 3] BGR.
        """
        if not self._strength:
            return None
        if begins_shot:
            self._agreement, self._contrasts = None, np.zeros(2)
        agreement = structure_agreement(crop, generated)
        average = agreement if self._agreement is None else self._mixed(self._agreement, agreement)
        self._agreement = average
        # The source's detail disappears at once where something changes, and returns gradually.
        return partial(self._refine, np.minimum(agreement, average))

    def _refine(
        self, agreement: NDArray[np.float32], generated: NDArray[np.float32], shown: NDArray[np.uint8], area: MouthArea
    ) -> NDArray[np.float32]:
        sigmas = [SPLIT_PX * scale for scale in area.pixels_per_crop_px]
        coarse = blur_xy(generated, *sigmas)
        fine = generated - coarse
        fine_shown = shown - blur_xy(shown.astype(np.float32), *sigmas)
        contrasts = np.array([(area.alpha * np.square(detail)).mean() for detail in (fine, fine_shown)])
        self._contrasts = self._mixed(self._contrasts, contrasts) if self._contrasts.any() else contrasts
        gain = float(np.clip(math.sqrt(self._contrasts[1] / max(self._contrasts[0], 1e-6)), 1, MAX_GAIN))
        share = np.clip(area.sample(agreement[..., None]), 0, 1)
        wanted = share * fine_shown + (1 - share) * gain * fine
        return np.asarray(generated + self._strength * (wanted - fine), np.float32)

    def _mixed(self, average: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        return self._keep * average + (1 - self._keep) * new


def structure_agreement(crop: NDArray[np.uint8], generated: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far two crops, uint8 [S, S, 3], show the same structures: 1 the same, 0 others; float32 [S, S].

    Compares what is wider than ``SPLIT_PX`` and narrower than ``CONTEXT_PX``: shading and slight blur do not count.
    """
    scale = crop.shape[0] / CROP_PX
    split_px, context_px = SPLIT_PX * scale, CONTEXT_PX * scale
    difference = crop.astype(np.float32) - generated
    band = blur_xy(difference, split_px, split_px) - blur_xy(difference, context_px, context_px)
    change = np.clip((np.abs(band).max(axis=2) - SAME) / (CHANGED - SAME), 0, 1)
    return 1 - blur_xy(largest_around(change, round(SPREAD_PX * scale)), split_px, split_px)
