"""Evaluators that are not trained here: their use in place of a trained one, and the accuracy of a judge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core import atomic
from pipeline.core.artifacts import read_curve_rows
from pipeline.core.choices import JudgeName
from pipeline.core.model_files import MODEL_NAME, WEIGHTS_NAME
from pipeline.inference import saved_model
from pipeline.inference.device import select_device, set_threads
from pipeline.inference.lse_evaluator import Evaluator, judge_dir, load_judge, load_official
from pipeline.metrics.lse import lse_scores, negative_distances
from pipeline.shards.clip import Clip
from pipeline.stage import StageContext
from pipeline.training.curve import plot_curve, write_curve
from pipeline.training.session import MAX_TEST_CLIPS, spread_clips
from pipeline.training.sync_validation import SyncValidation

PAIRS_PER_CLIP = 100
MIN_GAP_FRAMES = 5
MAX_KNOWN_OFFSET_FRAMES = 10


def use_judge(name: JudgeName, context: StageContext) -> dict[str, Any]:
    """Copy a judge and its training curve to the stage's output, and measure it on the held-out test split.

    Returns the metrics by name. Raises DataError if no clip is long enough.
    """
    set_threads(context.params.runtime.num_threads)
    evaluator = load_judge(name, select_device(context.params.runtime.device))
    measured = _measured(evaluator, context)
    source = judge_dir(name)
    for file in (WEIGHTS_NAME, MODEL_NAME):
        atomic.write_bytes(context.output_dir / "model" / file, (source / file).read_bytes())
    curve = context.output_dir / "curve.csv"
    atomic.write_bytes(curve, (source / curve.name).read_bytes())
    plot_curve(context.output_dir / "curve.png", read_curve_rows(curve), f"{name}, trained on its own corpus")
    return {**measured, "judge": name}


def use_official(path: Path, context: StageContext) -> dict[str, Any]:
    """Write the published evaluator to the stage's output, and measure it on the held-out test split.

    Its training curve is not published: the curve has one row, the loss that was measured here. Returns the metrics by
    name. Raises UserError if the file is missing or holds another network, DataError if no clip is long enough.
    """
    set_threads(context.params.runtime.num_threads)
    evaluator = load_official(path, select_device(context.params.runtime.device))
    measured = _measured(evaluator, context)
    saved_model.save_model(
        context.output_dir / "model",
        kind="lse_syncnet",
        config={"width": evaluator.width},
        state=evaluator.network.state_dict(),
        info={"source": path.name, "sha256": evaluator.sha256},
    )
    rows = [{"step": 0.0, "loss": measured["test_loss"]}]
    write_curve(context.output_dir / "curve.csv", rows)
    plot_curve(context.output_dir / "curve.png", rows, f"{path.name}: loss on the held-out clips, not trained here")
    return measured


def _measured(evaluator: Evaluator, context: StageContext) -> dict[str, Any]:
    """The stage's metrics of an evaluator that was not trained here."""
    params = context.params
    validation = SyncValidation(
        params.train_evaluator.num_validation_pairs, params.train_evaluator.min_gap_frames, params.seed
    )
    test = validation.scores(
        [
            negative_distances(*evaluator(clip.context(np.arange(clip.num_frames)), clip.audio))
            for clip in spread_clips(context.layout.clips_dir, "test", MAX_TEST_CLIPS, ("context", "audio"))
        ]
    )
    return {
        **{f"test_{key}": value for key, value in test.items()},
        "chance_pairwise_accuracy": 0.5,
        "width": evaluator.width,
    }


def judge_accuracy(evaluator: Evaluator, clips: Iterable[Clip], seed: int) -> Mapping[str, dict[str, Any]]:
    """Accuracy of an evaluator on clips, by the groups of `group_of`.

    Each group has ``pairwise_accuracy``, ``offset_within_one_frame``, ``known_offsets_found``, ``num_clips`` and
    ``num_speakers``. ``known_offsets_found`` is None if all clips of the group are too short for it. Clips of at most 5
    windows are left out of the other scores. Raises ClipTooShortError for a clip without windows, DataError if no clip
    of a group is long enough.
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
