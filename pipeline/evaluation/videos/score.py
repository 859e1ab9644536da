"""Computes the metrics of pairs of videos."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.digest import sha256_of
from pipeline.core.errors import DataError
from pipeline.evaluation import protocol
from pipeline.evaluation.networks import Networks
from pipeline.evaluation.protocol import Pair
from pipeline.evaluation.score import PairResult, VariantScore
from pipeline.evaluation.videos.encodings import Encodings
from pipeline.evaluation.videos.faces import MIN_LENGTH_SHARE, MIN_SHOWN_SHARE, PairedFaces
from pipeline.evaluation.videos.pairing import VideoPair
from pipeline.faces.crops import CROP_PX
from pipeline.media.errors import MediaError
from pipeline.media.file import MediaFile
from pipeline.metrics.fitness import RealVideos
from pipeline.metrics.lips import LipScore
from pipeline.metrics.lse import EVALUATOR_INPUT_PX, lse_scores
from pipeline.metrics.temporal import mouth_jitter
from pipeline.params import PreprocessParams
from pipeline.preprocess.reasons import RejectedError
from pipeline.report.progress import tracked

logger = logging.getLogger(__name__)

VIDEOS_PROTOCOL_ID = "lipsmith-videos-4"
Images = NDArray[np.uint8]


def fitness_figures(score: VariantScore, evaluator: str) -> dict[str, Any]:
    """Whether the evaluator can judge the scored videos, from where it places the real ones (`RealVideos.figures`)."""
    offsets = [item.real_offset_frames for item in score.results if item.real_offset_frames is not None]
    none_placed = "none of the real videos could be placed. Give videos with their own sound as --real"
    return RealVideos.placed_at(offsets).figures(evaluator, none_placed)


def score_videos(pairs: Sequence[VideoPair], networks: Networks, params: PreprocessParams) -> VariantScore:
    """Score every pair, and place its real video. A pair that cannot be scored has a failure instead.

    It is then excluded from FID on both sides.
    """
    results: list[PairResult] = []
    step = networks.params.fid.every_n_frames
    lengths: dict[str, int] = {}
    crops: dict[str, tuple[Images, Images]] = {}
    for pair in tracked(pairs, "score", len(pairs), "videos"):
        try:
            result, (real, shown) = _score_pair(pair, networks, params)
        except DataError as error:
            result = PairResult(_self_paired(pair), failure=_failure(error, pair))
            logger.warning("no score for %s: %s", pair.name, result.failure)
        else:
            lengths[pair.name] = len(real)
            crops[pair.name] = real[::step].copy(), shown[::step].copy()  # FID uses no other frames
        results.append(result)
    frames = protocol.spread_frames(lengths, step, networks.params.fid.max_frames)
    kept = {name: [frame // step for frame in chosen] for name, chosen in frames.items()}
    empty = np.empty((0, CROP_PX, CROP_PX, 3), np.uint8)
    sides = [np.concatenate([empty, *(crops[name][side][kept[name]] for name in crops)]) for side in (0, 1)]
    return VariantScore(tuple(results), *sides)


def _score_pair(
    pair: VideoPair, networks: Networks, params: PreprocessParams
) -> tuple[PairResult, tuple[Images, Images]]:
    if pair.generated is None:
        raise DataError("there is no generated video of this name")
    with MediaFile(pair.real) as real_file, MediaFile(pair.generated) as generated_file:
        faces = PairedFaces.find(generated_file, real_file, params)
        real, shown = faces.crops(params.crop)
        context, sound = faces.context(params), faces.speech(params)
        lip, audio = networks.evaluator(context, sound)
        lips = networks.lips(context, sound)
        del context  # of a long video it takes gigabytes, and the real video's follows
        real_offset_frames, real_lips = _place_real(faces, networks, params)
    result = PairResult(
        pair=_self_paired(pair),
        num_frames=len(shown),
        note=faces.note,
        lse=lse_scores(lip, audio, networks.params.lse.vshift_frames),
        mouth_jitter=mouth_jitter(shown),
        real_mouth_jitter=mouth_jitter(real),
        real_offset_frames=real_offset_frames,
        lips=lips,
        real_lips=real_lips,
    )
    return result, (real, shown)


def _place_real(faces: PairedFaces, networks: Networks, params: PreprocessParams) -> tuple[int | None, LipScore | None]:
    """Offset that the evaluator measures in the real video with its own audio, and its lip metrics.

    None for both if it has no usable audio.
    """
    real = faces.of_real()
    try:
        context, sound = real.context(params), real.speech(params)
        lip, audio = networks.evaluator(context, sound)
    except DataError as error:
        logger.info("the real video %s is not placed: %s", faces.real.path.name, error)
        return None, None
    offset_frames = lse_scores(lip, audio, networks.params.lse.vshift_frames).offset_frames
    return offset_frames, networks.lips(context, sound)


def _failure(error: DataError, pair: VideoPair) -> str:
    if isinstance(error, MediaError):
        return f"the {'generated' if error.path == pair.generated else 'real'} video {error.path.name}: {error.detail}"
    return error.detail if isinstance(error, RejectedError) else str(error)


def _self_paired(pair: VideoPair) -> Pair:
    """A pair of the generated video with its own audio."""
    return Pair(pair.name, pair.name)


def describe_protocol(
    pairs: Sequence[VideoPair], networks: Networks, params: PreprocessParams, encodings: Encodings
) -> dict[str, Any]:
    """The protocol with its digest: all that the metrics depend on; of the generated videos only the encodings."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name} {sha256_of(pair.real)}\n".encode())
    settings = ("detector_score", "detector_max_px", "detect_every", "max_gap_frames", "smooth_frames", "cut_change")
    return protocol.with_digest(
        {
            "id": VIDEOS_PROTOCOL_ID,
            "num_pairs": len(pairs),
            "real_videos_sha256": digest.hexdigest(),
            "faces": "found in the real video; both videos are cut out there",
            "faces_settings": {
                name: getattr(params, name) for name in (*settings, "min_frames", "min_face_px", "min_audio_rms")
            },
            "crop": params.crop,
            "context_px": EVALUATOR_INPUT_PX,
            "encodings": encodings.described(),
            "audio": "of the generated video",
            "length": "the shorter of both videos, 25 fps",
            "generated_at_least": {"of_length": MIN_LENGTH_SHARE, "of_frames_with_a_face": MIN_SHOWN_SHARE},
            **networks.describe(),
            "evaluator_input": f"context crops of {EVALUATOR_INPUT_PX} px",
        }
    )
