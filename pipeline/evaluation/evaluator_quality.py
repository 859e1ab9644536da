"""Accuracy of a sync network on the clips of this checkout, as a sentence."""

from __future__ import annotations

from pipeline.core.artifacts import read_json
from pipeline.core.layout import Layout


def accuracy_sentence(layout: Layout, stage: str, name: str, judge: str | None = None) -> str:
    """Accuracy of a network on the held-out clips of this checkout, from the metrics of its stage.

    ``name``: the network's name in the sentence. ``judge``: the judge that the sentence is about; None for another
    network.
    """
    path = layout.metrics_path(stage)
    if not path.is_file():
        return f"{name}: its accuracy is unknown, because {path} does not exist"
    metrics = read_json(path)
    if metrics.get("judge") != judge:
        return f"{name}: its accuracy is unknown, because {path} is of another network; run `dvc repro {stage}`"
    return (
        f"{name} on the held-out clips of this checkout: pairwise accuracy {metrics['test_pairwise_accuracy']:.2f} "
        f"(chance 0.50), {metrics['test_offset_within_one_frame']:.0%} of the clips within one frame of offset"
    )
