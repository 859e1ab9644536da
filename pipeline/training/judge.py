"""Measures a judge, an evaluator for many corpora, on held-out clips of several groups of speakers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.losses import pairwise_distances
from pipeline.inference.lse_evaluator import Evaluator
from pipeline.shards.clip import Clip
from pipeline.training.sync_validation import SyncValidation

PAIRS_PER_CLIP = 100
MIN_GAP_FRAMES = 5


def judge_accuracy(evaluator: Evaluator, clips: Iterable[Clip], seed: int) -> Mapping[str, dict[str, Any]]:
    """Group -> ``pairwise_accuracy``, ``offset_within_one_frame``, ``num_clips`` and ``num_speakers``.

    The groups are those of `group_of`. Raises DataError if no clip of a group is long enough.
    """
    similarities: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    speakers: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        lips, audio = evaluator(clip.context(np.arange(clip.num_frames)), clip.audio)
        group = group_of(clip.speaker)
        similarities[group].append(-pairwise_distances(torch.from_numpy(lips), torch.from_numpy(audio)).numpy())
        speakers[group].add(clip.speaker)
    found = {}
    for group, matrices in sorted(similarities.items()):
        scores = SyncValidation(PAIRS_PER_CLIP * len(matrices), MIN_GAP_FRAMES, seed).scores(matrices)
        found[group] = {
            "pairwise_accuracy": round(scores["pairwise_accuracy"], 4),
            "offset_within_one_frame": round(scores["offset_within_one_frame"], 4),
            "num_clips": int(scores["num_clips"]),
            "num_speakers": len(speakers[group]),
        }
    return found


def group_of(speaker: str) -> str:
    """The group of a speaker of the judge's corpus, by its name in `pipeline.corpora.judge`."""
    if speaker.startswith("unseen-"):
        return "grid_unseen"
    return "rendered_unseen" if speaker.startswith("r") else "grid_known"
