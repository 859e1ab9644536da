"""The published answer to the published question, for whoever has both files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from pipeline.cli.weights import EXAMPLE_NAME, SYNCNET_NAME
from pipeline.core.layout import Layout
from pipeline.features.samples import float_to_int16
from pipeline.inference.lse_evaluator import OFFICIAL, load_official
from pipeline.metrics.lse import lse_scores
from tests.support.media_readers import read_frames, read_samples


@pytest.mark.slow
def test_the_example_of_syncnet_python_scores_as_its_readme_says(repo_root: Path) -> None:
    """joonson/syncnet_python's demo on its example.avi: offset 3, distance 5.353, confidence 10.021."""
    folder = Layout(repo_root).weights_dir
    weights = Path(os.environ.get("LIPSMITH_SYNCNET_WEIGHTS") or folder / SYNCNET_NAME)
    example = Path(os.environ.get("LIPSMITH_SYNCNET_EXAMPLE") or folder / EXAMPLE_NAME)
    absent = [str(path) for path in (weights, example) if not path.is_file()]
    if absent:
        pytest.skip(
            f"needs {' and '.join(absent)}: `python -m pipeline weights fetch syncnet_v2`, then `... syncnet_example`, "
            "or LIPSMITH_SYNCNET_WEIGHTS and LIPSMITH_SYNCNET_EXAMPLE name the files"
        )
    evaluator = load_official(weights, torch.device("cpu"))
    assert evaluator.name == OFFICIAL
    score = lse_scores(*evaluator(read_frames(example), float_to_int16(read_samples(example))))
    assert score.offset_frames == 3
    assert score.lse_d == pytest.approx(5.353, abs=2e-3)
    assert score.lse_c == pytest.approx(10.021, abs=2e-3)
