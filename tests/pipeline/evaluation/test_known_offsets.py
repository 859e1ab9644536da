"""judge-1 measures known offsets of clips that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.layout import CODE_ROOT
from pipeline.corpora.demo.render import DemoSpec, render_video
from pipeline.corpora.manifest import record_of
from pipeline.inference.lse_evaluator import load_judge
from pipeline.media.mjpeg import decode_mjpeg
from pipeline.params import load_params
from pipeline.preprocess.clip import process_clip
from pipeline.shards.write import ClipSample
from pipeline.training.judge import known_offsets_found

pytestmark = pytest.mark.slow

NUM_OFFSETS = 21
NUM_CLIPS = 2
SPEC = DemoSpec(num_speakers=NUM_CLIPS, num_clips_per_speaker=1, seed=7)
"""Speakers of another seed than those of the judge's corpus."""


def found_in(videos: Iterable[Path]) -> list[bool]:
    """Whether each known offset of each video is found within one frame."""
    params = load_params(CODE_ROOT / "params.yaml").preprocess.model_copy(update={"choose_face": "largest"})
    evaluator = load_judge("judge-1", torch.device("cpu"))
    found: list[bool] = []
    for video in videos:
        (sample,) = process_clip(record_of(f"a/{video.stem}", "a", "test", video, ""), params, Path("/"))
        assert isinstance(sample, ClipSample)
        found += known_offsets_found(*evaluator(decode_mjpeg(sample.context_mjpeg, sample.context_bytes), sample.audio))
    return found


def test_rendered_speakers_that_the_judge_has_never_seen(tmp_path: Path) -> None:
    videos = [tmp_path / f"{speaker}.mp4" for speaker in range(NUM_CLIPS)]
    for speaker, video in enumerate(videos):
        render_video(video, SPEC, speaker, 0, articulation=1.0, crf=18)
    found = found_in(videos)
    assert len(found) == NUM_CLIPS * NUM_OFFSETS
    assert np.mean(found) >= 0.95


def test_a_speaker_of_grid(shared_data: Path) -> None:
    videos = sorted((shared_data / "grid" / "s1").glob("*.mp4"))[:NUM_CLIPS]
    found = found_in(videos)
    assert len(found) == NUM_CLIPS * NUM_OFFSETS
    assert np.mean(found) >= 0.95
