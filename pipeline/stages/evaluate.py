"""Stage ``evaluate``: one variant on held-out clips with unseen audio."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline import alignment, atomic, checkpoint, stage
from pipeline.digest import sha256_of
from pipeline.evaluation import protocol
from pipeline.evaluation.evaluator import Evaluator, load_evaluator
from pipeline.evaluation.generate import CropGenerator
from pipeline.evaluation.score import clips_csv, fid, num_paired_frames, score_variant, summary
from pipeline.evaluation.strips import choose_strips, write_strip
from pipeline.metrics.fid import MIN_IMAGES, FeatureCache, inception_features, load_inception
from pipeline.mouths import MouthGenerator
from pipeline.params import EvaluateParams
from pipeline.shards.read import Clip, read_clips, read_index
from pipeline.shards.write import REJECTS_NAME
from pipeline.training.precision import select_device, set_threads
from pipeline.weights import INCEPTION, WeightsError, ensure_inception

logger = logging.getLogger(__name__)

SPLIT = "test"
GENERATOR_PRECISION = "fp32"
"""The same on every machine: rows scored on different ones may share a table."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--variant",
        required=True,
        help=f"a key of params.yaml's variants, or {' or '.join(protocol.BOUNDS)}",
    )
    variant = parser.parse_args(argv).variant
    dvc_stage = "evaluate_bound" if variant in protocol.BOUNDS else "evaluate"
    return stage.run("evaluate", partial(_body, variant), variant, dvc_stage=dvc_stage)


def _body(variant: str, context: stage.StageContext) -> dict[str, Any]:
    started = time.monotonic()
    params, layout, runtime = context.params.evaluate, context.layout, context.params.runtime
    set_threads(runtime.num_threads)
    device = select_device(runtime.device)
    inception_path = _inception_weights(layout.weights_dir)  # before the long work, which needs them at its end
    inception_sha256 = sha256_of(inception_path)
    key_of = {row.clip_id: row.key for row in read_index(layout.clips_dir, SPLIT)}
    unseen = protocol.derange(list(key_of), context.params.seed, params.max_clips)
    keys = {key_of[pair.video_id] for pair in unseen}
    clips = {clip.clip_id: clip for clip in read_clips(layout.clips_dir, SPLIT, keys=keys)}
    pairs = protocol.self_paired(unseen) if variant == protocol.REAL else unseen
    lengths = {p.video_id: num_paired_frames(clips[p.video_id], clips[p.audio_id]) for p in unseen}

    weights = None if params.lse.weights is None else layout.root / params.lse.weights
    trained_dir = layout.stage_dir("train_evaluator") / "model"
    evaluator = load_evaluator(weights, trained_dir, device)
    model_dir = layout.stage_dir("train_gan", variant) / "model"
    generate = None
    if variant not in protocol.BOUNDS:
        generate = CropGenerator(MouthGenerator.load(model_dir, runtime.device, GENERATOR_PRECISION), params.reference)
    logger.info("%s: %d clips, %s evaluator", variant, len(pairs), evaluator.name)
    score = score_variant(
        clips,
        pairs,
        generate=generate,
        embed=evaluator,
        fid_frames=protocol.spread_frames(lengths, params.fid.every_n_frames, params.fid.max_frames),
        vshift_frames=params.lse.vshift_frames,
    )
    try:
        metrics = summary(score)
    except ValueError as error:
        raise stage.DataError(str(error)) from None

    inception = load_inception(inception_path, device)
    cache = FeatureCache(layout.scratch_dir / "cache", inception_sha256)
    features = partial(inception_features, network=inception)
    remembered = partial(cache.get, compute=features)
    num_images = len(score.real_crops)
    if num_images < MIN_IMAGES:
        logger.warning("FID from %d images a side: below %d it is biased upward", num_images, MIN_IMAGES)
    shown_features = features if generate else remembered  # a bound shows real crops
    metrics["fid"] = fid(score.real_crops, score.generated_crops, shown_features, remembered)

    atomic.write_text(context.output_dir / "clips.csv", clips_csv(score))
    _write_strips(variant, context, [item.pair for item, _ in score.scored], clips, generate)
    if generate:
        metrics["generator_sha256"] = checkpoint.model_sha256(model_dir)
        metrics["generator_width"] = generate.draw.network.config.width
    return {
        **metrics,
        "variant": variant,
        "evaluator": evaluator.name,
        "evaluator_sha256": evaluator.sha256,
        "fid_num_images": num_images,
        "fid_weights_sha256": inception_sha256,
        "protocol": describe_protocol(params, unseen, clips, context.params.seed, evaluator, inception_sha256),
        "num_rejected": _num_rejected(layout.clips_dir),
        "seconds": time.monotonic() - started,
    }


def describe_protocol(
    params: EvaluateParams,
    unseen: Sequence[protocol.Pair],
    clips: Mapping[str, Clip],
    seed: int,
    evaluator: Evaluator,
    inception_sha256: str,
) -> dict[str, Any]:
    """Everything that must be equal before two results may be compared, with its digest."""
    return protocol.with_digest(
        {
            "id": protocol.PROTOCOL_ID,
            "split": SPLIT,
            "pairing": "each clip with the audio of the next clip of a seeded ring; real keeps its own",
            "pairing_sha256": protocol.pairing_sha256(unseen),
            "num_pairs": len(unseen),
            "clips_sha256": protocol.clips_sha256(clips[pair.video_id] for pair in unseen),
            "seed": seed,
            "length": "the shorter of video and audio, 25 fps",
            "reference": params.reference,
            "generator_lead_frames": alignment.centred_lead_frames(),
            "generator_precision": GENERATOR_PRECISION,
            "paste": "whole crop, hard edges",
            "evaluator": evaluator.name,
            "evaluator_sha256": evaluator.sha256,
            "evaluator_width": evaluator.width,
            "evaluator_input": "context crops, bilinear to 224 in 8 bits",
            "vshift_frames": params.lse.vshift_frames,
            "edge": "zero",
            "lse_precision": "fp32",
            "fid_images": "96x96 face crops",
            "fid_weights_sha256": inception_sha256,
            "every_n_frames": params.fid.every_n_frames,
            "max_frames": params.fid.max_frames,
        }
    )


def _inception_weights(weights_dir: Path) -> Path:
    """Raises TemporaryError where nobody could be reached; a wrong file in the way stays the user's to remove."""
    try:
        return ensure_inception(weights_dir)
    except WeightsError as error:
        if (weights_dir / INCEPTION.name).exists():
            raise
        raise stage.TemporaryError(str(error)) from error


def _num_rejected(clips_dir: Path) -> int:
    """Held-out clips that preprocessing refused: they are in no row of the comparison, so they are counted here."""
    splits = pq.read_table(clips_dir / REJECTS_NAME, columns=["split"])["split"].to_pylist()
    return splits.count(SPLIT)


def _write_strips(
    variant: str,
    context: stage.StageContext,
    pairs: Sequence[protocol.Pair],
    clips: Mapping[str, Clip],
    generate: CropGenerator | None,
) -> None:
    params = context.params.evaluate
    strips_dir = context.output_dir / "strips"
    strips_dir.mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(choose_strips(pairs, clips, params.num_strips)):
        video, audio = clips[pair.video_id], clips[pair.audio_id]
        path = strips_dir / f"{number:02d}-{video.key}.mp4"
        write_strip(path, variant, video, audio, generate, params.reference)
    context.tracker.log_artifact(strips_dir, "strips")
    context.tracker.log_artifact(context.output_dir / "clips.csv")


if __name__ == "__main__":
    raise SystemExit(main())
