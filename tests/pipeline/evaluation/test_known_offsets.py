"""The trained evaluator on clips it never saw, whose sound is moved by known amounts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.layout import Layout
from pipeline.inference.lse_evaluator import load_evaluator
from pipeline.metrics.lse import lse_scores
from pipeline.shards.read import read_clips
from tests.support.sound import early_by

LARGEST_LEAD = 10
MOVES_PER_CLIP = 3


@pytest.mark.slow
def test_known_offsets_of_held_out_clips_are_found() -> None:
    """-10 to 10 frames, three moves of every held-out clip. Needs the clips and the evaluator of a finished run."""
    run = os.environ.get("LIPSMITH_TEST_RUN")
    if not run:
        pytest.skip("LIPSMITH_TEST_RUN names no checkout with a finished run on GRID (data, artifacts/train_evaluator)")
    layout, device = Layout(Path(run)), torch.device("cpu")
    evaluator = load_evaluator(None, layout.model_dir("train_evaluator"), device)
    num_leads = 2 * LARGEST_LEAD + 1
    errors = []
    for number, clip in enumerate(read_clips(layout.clips_dir, "test")):
        context = clip.context()
        for move in range(MOVES_PER_CLIP):
            lead = (number + move * num_leads // MOVES_PER_CLIP) % num_leads - LARGEST_LEAD
            score = lse_scores(*evaluator(context, early_by(clip.audio, lead)))
            errors.append(score.offset_frames - lead)
    assert len(errors) >= num_leads
    assert np.mean(np.abs(errors) <= 1) >= 0.95, errors
