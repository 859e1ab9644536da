"""Pairs of videos to figures, and figures beside those of another result."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.digest import sha256_of
from pipeline.evaluation import protocol
from pipeline.evaluation.judges import Judges
from pipeline.evaluation.protocol import Pair
from pipeline.evaluation.score import Scored, VariantScore
from pipeline.markdown import Table
from pipeline.media.crops import CROP_PX
from pipeline.media.errors import MediaError
from pipeline.metrics.lse import lse_scores
from pipeline.metrics.temporal import mouth_jitter
from pipeline.params import PreprocessParams
from pipeline.preprocess.reasons import RefusedError
from pipeline.scoring.faces import PairedFaces
from pipeline.scoring.pairing import VideoPair
from pipeline.versions import differing

logger = logging.getLogger(__name__)

PROTOCOL_ID = "lipsmith-videos-1"
METRICS = (
    ("LSE-D ↓", "lse_d", 1),
    ("LSE-C ↑", "lse_c", 1),
    ("FID ↓", "fid", 1),
    ("1000 KID ↓", "kid", 1000),
    ("jitter / real", "jitter_ratio", 1),
)
"""Label, name in a result, and by what it is multiplied to be read."""

Images = NDArray[np.uint8]


def score_videos(pairs: Sequence[VideoPair], judges: Judges, params: PreprocessParams) -> VariantScore:
    """Score every pair; one that cannot be scored is kept with its reason, and its frames leave both sides of FID."""
    results: list[Scored] = []
    step = judges.params.fid.every_n_frames
    lengths: dict[str, int] = {}
    crops: dict[str, tuple[Images, Images]] = {}
    for number, pair in enumerate(pairs, start=1):
        try:
            result, (real, shown) = _score_pair(pair, judges, params)
        except (MediaError, RefusedError, ValueError) as error:
            result = Scored(_self_paired(pair), reason=getattr(error, "detail", str(error)))
            logger.warning("no score for %s: %s", pair.name, result.reason)
        else:
            lengths[pair.name] = len(real)
            crops[pair.name] = real[::step].copy(), shown[::step].copy()  # FID looks at no others
            logger.info("%d of %d: %s", number, len(pairs), pair.name)
        results.append(result)
    frames = protocol.spread_frames(lengths, step, judges.params.fid.max_frames)
    kept = {name: [frame // step for frame in chosen] for name, chosen in frames.items()}
    empty = np.empty((0, CROP_PX, CROP_PX, 3), np.uint8)
    sides = [np.concatenate([empty, *(crops[name][side][kept[name]] for name in crops)]) for side in (0, 1)]
    return VariantScore(tuple(results), *sides)


def _score_pair(pair: VideoPair, judges: Judges, params: PreprocessParams) -> tuple[Scored, tuple[Images, Images]]:
    if pair.generated is None:
        raise ValueError("there is no generated video of this name")
    faces = PairedFaces.find(pair.generated, pair.reference, params)
    real, shown = faces.crops()
    lip, audio = judges.evaluator(faces.context(params.context_px), faces.heard())
    scored = Scored(
        pair=_self_paired(pair),
        num_frames=len(shown),
        lse=lse_scores(lip, audio, judges.params.lse.vshift_frames),
        mouth_jitter=mouth_jitter(shown),
        real_mouth_jitter=mouth_jitter(real),
    )
    return scored, (real, shown)


def _self_paired(pair: VideoPair) -> Pair:
    """A generated video is heard with its own sound."""
    return Pair(pair.name, pair.name)


def describe_protocol(pairs: Sequence[VideoPair], judges: Judges, params: PreprocessParams) -> dict[str, Any]:
    """Everything but the generated videos that the figures depend on, with its digest."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name} {sha256_of(pair.reference)}\n".encode())
    settings = ("detector_score", "detector_max_px", "detect_every", "max_gap_frames", "smooth_frames", "cut_change")
    return protocol.with_digest(
        {
            "id": PROTOCOL_ID,
            "num_pairs": len(pairs),
            "references_sha256": digest.hexdigest(),
            "faces": "found in the real video; both videos are cut out there",
            "faces_settings": {name: getattr(params, name) for name in (*settings, "min_frames", "min_face_px")},
            "context_px": params.context_px,
            "audio": "of the generated video",
            "length": "the shorter of both videos, 25 fps",
            **judges.describe(),
        }
    )


def require_alike(ours: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> None:
    """Raises ValueError naming the first setting in which two protocols differ; ``name`` says whose the other is."""
    for key in sorted({*ours, *theirs} - {"sha256"}):
        if key == "num_pairs" and ours.get(key) != theirs.get(key):
            raise ValueError(
                f"{name} was scored against {theirs.get(key)} real videos, here are {ours.get(key)}: give the "
                "--reference it was scored with"
            )
        if ours.get(key) != theirs.get(key):
            raise ValueError(f"{name} was scored differently: its {key} is {theirs.get(key)!r}, here {ours.get(key)!r}")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> list[str]:
    """What makes the figures of two results of one protocol less than comparable, in sentences."""
    lacking = [{failure["clip_id"] for failure in result["failures"]} for result in (ours, theirs)]
    said = [
        f"{who} without a score for {len(only)} clips that the other has, such as {min(only)}: the means are of "
        "different clips"
        for who, only in (("these videos are", lacking[0] - lacking[1]), (f"{name} is", lacking[1] - lacking[0]))
        if only
    ]
    numbers = [result["fid_num_images"] for result in (ours, theirs)]
    if numbers[0] != numbers[1]:
        said.append(
            f"FID is of {numbers[0]} images here and of {numbers[1]} in {name}: it falls as they grow in number"
        )
    versions = [result.get("versions", {}) for result in (ours, theirs)]  # earlier results name none
    said += [
        f"{package} is {versions[0][package]} here and was {versions[1][package]} for {name}: last digits may differ"
        for package in differing(versions)
    ]
    return said


def figures_table(ours: Mapping[str, Any], theirs: Mapping[str, Any] | None = None, name: str = "") -> Table:
    """One line per figure, beside those of another result, called ``name``, where one is given."""
    if theirs is None:
        return Table(["", "generated"], [[label, f"{scale * ours[key]:.3f}"] for label, key, scale in METRICS])
    cells = []
    for label, key, scale in METRICS:
        one, other = scale * ours[key], scale * theirs[key]
        cells.append([label, f"{one:.3f}", f"{other:.3f}", f"{one - other:+.3f}"])
    return Table(["", "generated", name, "difference"], cells)


def read_result(path: Path) -> dict[str, Any]:
    """What an earlier ``score --out`` wrote. Raises ValueError for anything else."""
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        is_whole = all(math.isfinite(result[key]) for _, key, _ in METRICS) and "sha256" in result["protocol"]
        is_whole &= {"failures", "fid_num_images"} <= result.keys()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no result of `python -m pipeline score --out` ({error!r})") from None
    if not is_whole:
        raise ValueError(f"{path} has no protocol or figures that are not finite: score those videos again")
    return result
