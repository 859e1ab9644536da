"""Drawings whose right outcome is known: a clip with its own voice, and with silence.

With its own voice a generator should draw the video as it was (SSIM, PSNR); to silence it should move no mouth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline import alignment
from pipeline.evaluation.score import Generate
from pipeline.generators import Sound
from pipeline.metrics.image import psnr, ssim
from pipeline.metrics.temporal import mouth_motion
from pipeline.shards.clip import Clip


@dataclass(frozen=True)
class Probes:
    """Means over ``num_clips`` clips."""

    num_clips: int
    ssim: float
    psnr_db: float
    silence_motion: float
    """Motion of the mouths drawn to silence, as a share of that to their own voice; what is left is the head's."""

    def metrics(self) -> dict[str, float]:
        return {
            "reconstruction_ssim": self.ssim,
            "reconstruction_psnr_db": self.psnr_db,
            "silence_motion": self.silence_motion,
            "num_probes": self.num_clips,
        }


def probe(clips: Iterable[Clip], generate: Generate) -> Probes | None:
    """Draw every clip twice; None where there is no clip, or none whose drawing moves.

    Raises ValueError where the network gives something that is not a number.
    """
    likeness: list[tuple[float, float]] = []
    spoken = silent = 0.0
    for clip in clips:
        num_frames = min(clip.num_frames, alignment.num_frames_of(clip.num_samples))
        crops = clip.crops(range(num_frames))
        own = generate(crops, clip)
        quiet = generate(crops, Sound.silent(clip.num_samples))
        likeness.append((ssim(crops, own), psnr(crops, own)))
        spoken += mouth_motion(own)
        silent += mouth_motion(quiet)
    if not likeness or spoken == 0:
        return None
    mean_ssim, mean_psnr = np.mean(likeness, axis=0).tolist()
    return Probes(len(likeness), mean_ssim, mean_psnr, silent / spoken)
