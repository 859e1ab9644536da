"""The sentence on the accuracy of a network."""

from __future__ import annotations

from pathlib import Path

from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.evaluation.evaluator_quality import accuracy_sentence

ACCURACY = {"test_pairwise_accuracy": 0.9, "test_offset_within_one_frame": 0.75}


def test_the_accuracy_of_another_network_is_not_given(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert "unknown, because" in accuracy_sentence(layout, "train_evaluator", "the evaluator")
    atomic.write_json(layout.metrics_path("train_evaluator"), ACCURACY)
    assert "pairwise accuracy 0.90" in accuracy_sentence(layout, "train_evaluator", "the evaluator")
    other = accuracy_sentence(layout, "train_evaluator", "judge-1", "judge-1")
    assert "unknown" in other and "run `dvc repro train_evaluator`" in other and "0.90" not in other
    atomic.write_json(layout.metrics_path("train_evaluator"), ACCURACY | {"judge": "judge-1"})
    assert "pairwise accuracy 0.90" in accuracy_sentence(layout, "train_evaluator", "judge-1", "judge-1")
