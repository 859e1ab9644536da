"""Probes: generated clips whose correct result is known, with the own audio and with silence.

With its own audio a generated clip should equal the real video (SSIM, PSNR) and move in the same way (warping error).
With silence the mouth should not move.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.score import Generate
from pipeline.faces.crops import CROP_PX, resized_crops
from pipeline.features import alignment
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.media.flow import backward_flows
from pipeline.metrics.image import psnr, ssim
from pipeline.metrics.temporal import mouth_motion, warping_error
from pipeline.shards.clip import Clip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probes:
    """Means over ``num_clips`` clips, except ``silence_motion``, a ratio of two means."""

    num_clips: int
    ssim: float
    psnr_db: float
    warping_error: float
    """Warping error of the mouths generated from their own audio, along the real videos' motion, in grey levels. Only
    with the own audio is the correct motion known."""
    real_warping_error: float
    """The same of the real videos."""
    silence_motion: float
    """Motion of the mouths in silence as a share of their motion with the own audio; head motion is a part of it."""

    def metrics(self) -> dict[str, float]:
        return {
            "reconstruction_ssim": self.ssim,
            "reconstruction_psnr_db": self.psnr_db,
            "reconstruction_warping_error": self.warping_error,
            "real_warping_error": self.real_warping_error,
            "silence_motion": self.silence_motion,
            "num_probes": self.num_clips,
        }


def run_probes(clips: Iterable[Clip], generate: Generate) -> Probes | None:
    """Generate every clip twice, with its own audio and with silence, and return the mean figures.

    None if no clip's motion can be estimated, if no generated mouth moves with its own audio, or if the real videos
    have no warping error. Crops of all sizes are compared at 96 px. Raises DataError if the output of the network is
    not finite.
    """
    found: list[tuple[float, ...]] = []
    spoken = silent = 0.0
    for clip in clips:
        num_frames = min(clip.num_frames, alignment.num_frames_of(clip.num_samples))
        own_crops = clip.crops(range(num_frames))
        crops = resized_crops(own_crops, CROP_PX)
        motion = backward_flows(crops)
        if not motion[1][:, crops.shape[1] // 2 :].any():
            logger.warning("%s: its motion cannot be estimated; it is not used as a probe", clip.clip_id)
            continue
        voices = clip, ExtractedAudio.silent(clip.num_samples)
        own, quiet = (resized_crops(generate(own_crops, voice), CROP_PX) for voice in voices)
        errors = warping_error(own, *motion), warping_error(crops, *motion)
        found.append((ssim(crops, own), psnr(crops, own), *errors))
        spoken += mouth_motion(own)
        silent += mouth_motion(quiet)
    if not found or spoken == 0:
        return None
    mean_ssim, mean_psnr, error, real_error = np.mean(found, axis=0).tolist()
    return Probes(len(found), mean_ssim, mean_psnr, error, real_error, silent / spoken) if real_error else None
