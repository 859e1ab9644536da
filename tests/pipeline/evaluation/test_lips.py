"""The networks of the lip metrics: when they are missing, and what is done with what they find."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.compare.table import clip_scores, intervals_over_clips
from pipeline.core.errors import UserError
from pipeline.evaluation import lips
from pipeline.evaluation.clip_rows import clips_csv
from pipeline.evaluation.lips import NO_FACE, NOT_INSTALLED, LipScorer, crop_px_per_px, lip_summary, missing_sentence
from pipeline.evaluation.protocol import Pair
from pipeline.evaluation.score import PairResult, VariantScore
from pipeline.faces.crops import boxes_within, context_boxes, crop_boxes
from pipeline.inference.pretrained import WeightsError
from pipeline.inference.speech_spans import REQUIREMENT
from pipeline.metrics.lips import LIPS, LipScore
from pipeline.metrics.lse import LseScore

IMAGES = np.zeros((20, 160, 160, 3), np.uint8)
SILENCE = np.zeros(20 * 640, np.int16)


def shaking_lips(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Landmarks whose lips move by one pixel in every frame; no face in the first quarter of the images."""
    points = np.repeat(np.random.default_rng(0).uniform(0, 100, (1, 468, 3)), len(images), axis=0)
    points[::2, list(LIPS), 0] += 1.0
    points[: len(images) // 4] = np.nan
    return points


def test_without_the_extra_nothing_is_measured_and_the_command_is_named(repo_root: Path, tmp_path: Path) -> None:
    scorer = LipScorer.open(tmp_path)
    assert scorer.missing == NOT_INSTALLED and REQUIREMENT in NOT_INSTALLED
    assert scorer(IMAGES, SILENCE) is None
    extras = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["landmarks"] == [REQUIREMENT]


def test_without_weights_the_reason_is_that_of_the_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*_: Any) -> Path:
        raise WeightsError("no source answers")

    monkeypatch.setattr(lips, "has_speech_detector", lambda: True)
    monkeypatch.setattr(lips, "ensure", offline)
    assert LipScorer.open(tmp_path).missing == "no source answers"


def test_a_package_that_cannot_be_imported_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> None:
        raise UserError("cannot be imported")

    monkeypatch.setattr(lips, "has_speech_detector", lambda: True)
    monkeypatch.setattr(lips, "ensure", lambda *_: tmp_path)
    monkeypatch.setattr(lips, "FaceMesh", lambda path: type("Mesh", (), {"landmarks": shaking_lips}))
    monkeypatch.setattr(lips, "SpeechDetector", broken)
    assert LipScorer.open(tmp_path).missing == "cannot be imported"


def test_motion_is_in_pixels_of_a_face_crop() -> None:
    score = LipScorer(shaking_lips, lambda audio: [], "")(IMAGES, SILENCE)
    assert score is not None and score.num_pause_steps == 14
    assert score.pause_motion_px == pytest.approx(crop_px_per_px(160))


def test_the_scale_is_that_of_the_crops() -> None:
    faces = np.array([[200.0, 150.0, 60.0, 50.0, 60.0]])
    x0, _, x1, _ = boxes_within(crop_boxes(faces, "square"), context_boxes(faces), 160)[0]
    assert crop_px_per_px(160) == pytest.approx(96 / (x1 - x0))


def test_a_video_in_which_no_face_is_found_is_not_measured() -> None:
    scorer = LipScorer(lambda images: np.full((len(images), 468, 3), np.nan), lambda audio: [], "")
    assert scorer(IMAGES, SILENCE) is None


def test_means_are_over_the_clips_that_have_a_value() -> None:
    scores = [LipScore(0.5, 1.0, 30), LipScore(0.1, None, 0), None, LipScore(None, 2.0, 10)]
    assert lip_summary(scores, "real_") == {
        "real_opening_correlation": pytest.approx(0.3),
        "real_pause_motion_px": pytest.approx(1.25),
        "real_num_opening_clips": 2,
        "real_num_pause_clips": 2,
    }
    assert lip_summary([None]) == {
        "opening_correlation": None,
        "pause_motion_px": None,
        "num_opening_clips": 0,
        "num_pause_clips": 0,
    }


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ([LipScore(0.5, 1.0, 30), None], ""),
        ([LipScore(0.5, None, 0)], "lips in pauses are not measured: no clip has a silence of 300 ms"),
        ([LipScore(None, 1.0, 9)], "opening ~ loudness is not measured: no clip has half a second of speech"),
        (
            [None],
            f"opening ~ loudness and lips in pauses are not measured: {NO_FACE}",
        ),
    ],
)
def test_a_missing_metric_has_its_reason(scores: list[LipScore | None], sentence: str) -> None:
    scorer = LipScorer(shaking_lips, lambda audio: [], "")
    assert missing_sentence(scorer, scores) == sentence
    assert missing_sentence(LipScorer(), scores).endswith(NOT_INSTALLED)


def test_values_of_clips_and_their_intervals_survive_the_table_of_clips() -> None:
    lse = LseScore(8.0, 3.0, 0, (8.0,) * 31, 40, 8.0, 3.0)
    results = [
        PairResult(Pair(f"c{k}", "x"), lse=lse, mouth_jitter=1.0, real_mouth_jitter=1.0, lips=LipScore(k / 10, None, 0))
        for k in range(8)
    ]
    results.append(PairResult(Pair("c8", "x"), lse=lse, mouth_jitter=1.0, real_mouth_jitter=1.0))
    clips = clip_scores(clips_csv(VariantScore(tuple(results), IMAGES, IMAGES)))
    assert [clip.opening_correlation for clip in clips.values()] == [*(k / 10 for k in range(8)), None]
    intervals = intervals_over_clips(clips, 0.9, 200, 1)
    low, high = intervals["opening_correlation_ci"]
    assert low < 0.35 < high and "pause_motion_px_ci" not in intervals
