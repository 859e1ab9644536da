"""The published answer to the published question, for whoever has both files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.evaluation.evaluator import OFFICIAL, load_evaluator
from pipeline.media.audio import decode_audio, float_to_int16
from pipeline.media.video import iter_frames
from pipeline.metrics.lse import lse_scores


@pytest.mark.slow
def test_the_example_of_syncnet_python_scores_as_its_readme_says() -> None:
    """joonson/syncnet_python's demo on its example.avi: offset 3, distance 5.353, confidence 10.021."""
    files = [os.environ.get(f"LIPSMITH_SYNCNET_{name}") for name in ("WEIGHTS", "EXAMPLE")]
    if not all(files):
        pytest.skip(
            "LIPSMITH_SYNCNET_WEIGHTS and LIPSMITH_SYNCNET_EXAMPLE name no syncnet_v2.model and example.avi "
            "(both come with joonson/syncnet_python's download_model.sh)"
        )
    weights, example = (Path(file) for file in files if file)
    evaluator = load_evaluator(weights, Path("unused"), torch.device("cpu"))
    assert evaluator.name == OFFICIAL
    frames = np.stack([frame.image for frame in iter_frames(example, 25)])
    score = lse_scores(*evaluator(frames, float_to_int16(decode_audio(example))))
    assert score.offset_frames == 3
    assert score.lse_d == pytest.approx(5.353, abs=2e-3)
    assert score.lse_c == pytest.approx(10.021, abs=2e-3)
