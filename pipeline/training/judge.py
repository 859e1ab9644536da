"""A judge, an evaluator for many corpora: its use in place of a trained evaluator, and its accuracy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core import atomic
from pipeline.core.artifacts import read_curve_rows
from pipeline.core.choices import JudgeName
from pipeline.inference import saved_model
from pipeline.inference.device import select_device, set_threads
from pipeline.inference.lse_evaluator import Evaluator, judge_dir, load_judge
from pipeline.metrics.lse import lse_scores
from pipeline.shards.clip import Clip
from pipeline.stage import StageContext
from pipeline.training.curve import plot_curve
from pipeline.training.evaluator import negative_distances
from pipeline.training.session import MAX_TEST_CLIPS, spread_clips
from pipeline.training.sync_validation import SyncValidation

PAIRS_PER_CLIP = 100
MIN_GAP_FRAMES = 5
MAX_KNOWN_OFFSET_FRAMES = 10


def use_judge(name: JudgeName, context: StageContext) -> dict[str, Any]:
    """Copy a judge and its training curve to the stage's output, and measure it on the held-out test split.

    Returns the metrics by name. Raises DataError if no clip is long enough.
    """
    params, folder, source = context.params, context.output_dir / "model", judge_dir(name)
    for file in (saved_model.WEIGHTS_NAME, saved_model.MODEL_NAME):
        atomic.write_bytes(folder / file, (source / file).read_bytes())
    curve = context.output_dir / "curve.csv"
    atomic.write_bytes(curve, (source / curve.name).read_bytes())
    plot_curve(context.output_dir / "curve.png", read_curve_rows(curve), f"{name}, trained on its own corpus")
    set_threads(params.runtime.num_threads)
    evaluator = load_judge(name, select_device(params.runtime.device))
    validation = SyncValidation(
        params.train_evaluator.num_validation_pairs, params.train_evaluator.min_gap_frames, params.seed
    )
    test = validation.scores(
        [
            negative_distances(*evaluator(clip.context(np.arange(clip.num_frames)), clip.audio))
            for clip in spread_clips(context.layout.clips_dir, "test", MAX_TEST_CLIPS)
        ]
    )
    return {
        **{f"test_{key}": value for key, value in test.items()},
        "chance_pairwise_accuracy": 0.5,
        "width": evaluator.width,
        "judge": name,
    }


def judge_accuracy(evaluator: Evaluator, clips: Iterable[Clip], seed: int) -> Mapping[str, dict[str, Any]]:
    """Group -> accuracy (``pairwise_accuracy``, ``offset_within_one_frame``, ``known_offsets_found``) and numbers of
    clips and speakers. ``known_offsets_found`` is None if all clips of the group are too short for it.
    Clips of at most 5 windows are left out of the other scores.

    The groups are those of `group_of`. Raises ClipTooShortError for a clip without windows, and DataError
    if no clip of a group is long enough.
    """
    similarities: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    speakers: dict[str, set[str]] = defaultdict(set)
    recovered: dict[str, list[bool]] = defaultdict(list)
    for clip in clips:
        group = group_of(clip.speaker)
        lips, audio = evaluator(clip.context(np.arange(clip.num_frames)), clip.audio)
        similarities[group].append(negative_distances(lips, audio))
        recovered[group] += known_offsets_found(lips, audio)
        speakers[group].add(clip.speaker)
    found = {}
    for group, matrices in sorted(similarities.items()):
        scores = SyncValidation(PAIRS_PER_CLIP * len(matrices), MIN_GAP_FRAMES, seed).scores(matrices)
        found[group] = {
            "pairwise_accuracy": round(scores["pairwise_accuracy"], 4),
            "offset_within_one_frame": round(scores["offset_within_one_frame"], 4),
            "known_offsets_found": round(float(np.mean(recovered[group])), 4) if recovered[group] else None,
            "num_clips": int(scores["num_clips"]),
            "num_speakers": len(speakers[group]),
        }
    return found


def known_offsets_found(lips: NDArray[np.float32], audio: NDArray[np.float32]) -> list[bool]:
    """Whether LSE's offset is within one frame of the true one, for each known offset of -10 to 10 frames.

    ``lips`` and ``audio``: embeddings float32 [V, D] of a clip in sync. The audio is moved by whole frames, which keeps
    its windows, and both ends are cut off. Empty for a clip of fewer than 41 windows.
    """
    most = MAX_KNOWN_OFFSET_FRAMES
    num = len(lips) - 2 * most
    if num <= 2 * most:
        return []
    found = []
    for offset in range(-most, most + 1):
        moved = audio[most + offset : most + offset + num]
        found.append(abs(lse_scores(lips[most : most + num], moved).offset_frames - offset) <= 1)
    return found


def group_of(speaker: str) -> str:
    """The group of a speaker of the judge's corpus, by its name in `pipeline.corpora.judge`."""
    if speaker.startswith("unseen-"):
        return "grid_unseen"
    return "rendered_unseen" if speaker.startswith("r") else "grid_known"
