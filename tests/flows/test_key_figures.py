"""The key metric of a finished stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.key_figures import key_figure
from pipeline.core import atomic
from pipeline.core.layout import Layout


@pytest.mark.parametrize(
    ("stage", "folder", "metrics", "expected"),
    [
        ("preprocess", "preprocess", {"num_clips": 120}, "120 clips"),
        ("train_syncnet", "train_syncnet", {"test_pairwise_accuracy": 0.9344}, "pairwise accuracy 0.934"),
        ("train_evaluator", "train_evaluator", {"test_pairwise_accuracy": 1}, "pairwise accuracy 1.000"),
        ("train_gan@wav2lip", "train_gan/wav2lip", {"val_l1": 0.03124}, "L1 0.0312"),
        ("evaluate@wav2lip", "evaluate/wav2lip", {"lse_d": 7.123, "lse_c": 5.2}, "LSE-D 7.12, LSE-C 5.20"),
        ("evaluate_bound@real", "evaluate/real", {"lse_d": 7.123, "lse_c": 5.2}, "LSE-D 7.12, LSE-C 5.20"),
        (
            "evaluate@wav2lip",
            "evaluate/wav2lip",
            {"lse_d": 7.123, "lse_c": 5.2, "fid": 30.456, "fitness": {"is_fit": False}},
            "FID 30.46; the evaluator cannot judge the clips",
        ),
        ("compare", "compare", {"real": {"lse_d": 7.1}}, ""),
        ("code", "code", {}, ""),
        ("train_gan@a", "train_gan/a", {"val_l1": "low"}, ""),
        ("train_gan@a", "train_gan/a", {"val_loss": 0.1}, ""),
    ],
)
def test_the_metric_that_matters(
    tmp_path: Path, stage: str, folder: str, metrics: dict[str, object], expected: str
) -> None:
    atomic.write_json(tmp_path / "artifacts" / folder / "metrics.json", metrics)
    assert key_figure(tmp_path, stage) == expected


@pytest.mark.parametrize("content", [None, "", "{", "[1, 2]", json.dumps(None)])
def test_without_metrics_there_is_no_figure(tmp_path: Path, content: str | None) -> None:
    path = Layout(tmp_path).metrics_path("train_gan", "a")
    if content is not None:
        atomic.write_text(path, content)
    assert key_figure(tmp_path, "train_gan@a") == ""
