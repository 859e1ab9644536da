"""Scores one variant clip by clip. Networks are passed as functions, so this module needs no files or devices.

Images are uint8 [N, H, W, 3], BGR. Crops of all sizes are compared at 96 px, so that the scores of generators of
different sizes are comparable.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.evaluation.generate import paste
from pipeline.evaluation.lips import lip_summary
from pipeline.evaluation.protocol import Pair
from pipeline.faces.crops import CROP_PX, resized_crops
from pipeline.features import alignment
from pipeline.inference.generator_inputs import AudioSource
from pipeline.metrics.fid import FeatureStatistics, fid_of
from pipeline.metrics.kid import kid
from pipeline.metrics.lips import LipScore
from pipeline.metrics.lse import LseScore, lse_scores
from pipeline.metrics.temporal import mouth_jitter
from pipeline.report.progress import tracked
from pipeline.shards.clip import Clip

logger = logging.getLogger(__name__)

Images = NDArray[np.uint8]
Generate = Callable[[Images, AudioSource], Images]
"""Crops and audio -> generated crops of the same shape."""
Embed = Callable[[Images, NDArray[np.int16]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Context frames and 16 kHz audio -> lip and audio embeddings, float32 [V, D] each."""
ScoreLips = Callable[[Images, NDArray[np.int16]], LipScore | None]
"""Context frames and 16 kHz audio -> lip metrics, None if they could not be measured."""
ExtractFeatures = Callable[[Images], NDArray[np.float32]]
"""Crops -> float32 [N, F]."""


@dataclass(frozen=True)
class PairResult:
    """Result of one pair of video and audio. If it failed, ``lse`` is None and ``failure`` is the cause.

    ``note``: changes that were made to a scored pair before, if any. ``real_offset_frames``: offset that the evaluator
    measures in the real video with its own audio; None if it was not measured. ``lips`` and ``real_lips``: lip metrics
    of the shown video, and of the real one with its own audio; None if they were not measured.
    """

    pair: Pair
    num_frames: int = 0
    lse: LseScore | None = None
    failure: str = ""
    note: str = ""
    mouth_jitter: float = 0.0
    real_mouth_jitter: float = 0.0
    real_offset_frames: int | None = None
    lips: LipScore | None = None
    real_lips: LipScore | None = None


@dataclass(frozen=True)
class VariantScore:
    """Results of all pairs in protocol order, and the crops for FID (equal numbers on both sides)."""

    results: tuple[PairResult, ...]
    real_crops: Images
    generated_crops: Images

    @property
    def scored(self) -> list[tuple[PairResult, LseScore]]:
        return [(item, item.lse) for item in self.results if item.lse is not None]

    @property
    def failures(self) -> list[dict[str, str]]:
        return [{"clip_id": item.pair.video_id, "reason": item.failure} for item in self.results if item.lse is None]


def num_paired_frames(video: Clip, audio: Clip) -> int:
    """Number of frames that video and audio have in common, at 25 fps."""
    return min(video.num_frames, alignment.num_frames_of(audio.num_samples))


def render(video: Clip, audio: Clip, generate: Generate | None) -> tuple[Images, Images, Images]:
    """The video for the given audio: (real crops, shown crops, shown context), all of the paired length.

    Without a generator the shown video is the real one. Raises DataError if the generator's output is not finite.
    """
    frames = range(num_paired_frames(video, audio))
    crops, context = video.crops(frames), video.context(frames)
    if generate is None:
        return crops, crops, context
    generated = generate(crops, audio)
    boxes = np.asarray(video.crop_in_context, dtype=np.float64)[: len(frames)]
    return crops, generated, paste(context, generated, boxes)


def score_variant(
    clips: Mapping[str, Clip],
    pairs: Sequence[Pair],
    *,
    generate: Generate | None,
    embed: Embed,
    fid_frames: Mapping[str, Sequence[int]],
    vshift_frames: int,
    score_lips: ScoreLips = lambda context, audio: None,
) -> VariantScore:
    """Score every pair. A pair that cannot be scored is kept with the cause; its frames do not enter FID.

    ``fid_frames``: frames by video. A video that is not in it has no audio to be scored with, so it is not scored with
    its own audio either. A video in several pairs enters FID once, with the first pair that could be scored, because
    its real frames are equal in all of them.
    """
    results: list[PairResult] = []
    real: list[Images] = []
    shown: list[Images] = []
    compared: set[str] = set()
    for pair in tracked(pairs, "score", len(pairs)):
        if absent := [name for name in (pair.video_id, pair.audio_id) if name not in clips]:
            results.append(PairResult(pair=pair, failure=f"{absent[0]} is not among the held-out clips"))
            continue
        if pair.video_id not in fid_frames:
            failure = "none of the audio clips that the list pairs with it is held out"
            results.append(PairResult(pair=pair, failure=failure))
            continue
        try:
            crops, generated, context = render(clips[pair.video_id], clips[pair.audio_id], generate)
            crops, generated = (resized_crops(images, CROP_PX) for images in (crops, generated))
            lip, audio = embed(context, clips[pair.audio_id].audio)
            score = lse_scores(lip, audio, vshift_frames)
            result = PairResult(
                pair=pair,
                num_frames=len(crops),
                lse=score,
                mouth_jitter=mouth_jitter(generated),
                real_mouth_jitter=mouth_jitter(crops),
                lips=score_lips(context, clips[pair.audio_id].audio),
            )
            chosen = [frame for frame in fid_frames[pair.video_id] if frame < len(crops)]
        except DataError as error:
            logger.warning("no score for %s with %s: %s", pair.video_id, pair.audio_id, error)
            results.append(PairResult(pair=pair, failure=str(error)))
            continue
        results.append(result)
        if pair.video_id not in compared:
            compared.add(pair.video_id)
            real.append(crops[chosen])
            shown.append(generated[chosen])
    empty = np.empty((0, CROP_PX, CROP_PX, 3), np.uint8)
    return VariantScore(
        results=tuple(results),
        real_crops=np.concatenate(real) if real else empty,
        generated_crops=np.concatenate(shown) if shown else empty,
    )


def distances(
    real_crops: Images, generated_crops: Images, features: ExtractFeatures, real_features: ExtractFeatures, seed: int
) -> dict[str, float]:
    """FID and KID of two sets of crops uint8 [N, 96, 96, 3]. Keys: ``fid``, ``kid``.

    ``real_features`` may use a cache that variants share. Raises DataError for fewer than 2 images.
    """
    real, generated = real_features(real_crops), features(generated_crops)
    sides = [FeatureStatistics(found.shape[1]) for found in (real, generated)]
    for statistics, found in zip(sides, (real, generated), strict=True):
        statistics.update(found)
    return {"fid": fid_of(*sides), "kid": kid(real, generated, seed)}


def score_summary(score: VariantScore) -> dict[str, Any]:
    """Means over the scored clips, offsets and failures.

    ``share_at_limit``: share of clips with the largest offset that is searched, either way, which is no measurement.

    Raises DataError if no clip was scored, or if no real mouth moves.
    """
    scored = score.scored
    if not scored:
        reasons = Counter(item.failure for item in score.results)
        reason, count = reasons.most_common(1)[0]
        raise DataError(f"none of {len(score.results)} clips could be scored; {count} of them: {reason}")
    offsets = [lse.offset_frames for _, lse in scored]
    real_jitter = sum(item.real_mouth_jitter for item, _ in scored)
    if real_jitter == 0:
        raise DataError("no real mouth moves in any test clip; check that the clips are videos")
    limit = max(lse.limit_frames for _, lse in scored)
    return {
        "lse_d": float(np.mean([lse.lse_d for _, lse in scored])),
        "lse_c": float(np.mean([lse.lse_c for _, lse in scored])),
        "lse_d_valid": float(np.mean([lse.lse_d_valid for _, lse in scored])),
        "lse_c_valid": float(np.mean([lse.lse_c_valid for _, lse in scored])),
        "num_clips": len(scored),
        "num_failed": len(score.results) - len(scored),
        "num_short_clips": sum(lse.is_short for _, lse in scored),
        "offset_mean_frames": float(np.mean(offsets)),
        "offset_median_frames": float(np.median(offsets)),
        "share_at_limit": float(np.mean([abs(lse.offset_frames) == lse.limit_frames for _, lse in scored])),
        "within_one_frame": float(np.mean([abs(offset) <= 1 for offset in offsets])),
        "offset_histogram": {str(offset): offsets.count(offset) for offset in range(-limit, limit + 1)},
        "jitter_ratio": sum(item.mouth_jitter for item, _ in scored) / real_jitter,
        **lip_summary([item.lips for item, _ in scored]),
        "failures": score.failures,
    }
