"""How well a network that was trained here judges sync, in a sentence."""

from __future__ import annotations

import json

from pipeline.core.layout import Layout


def skill_of(layout: Layout, stage: str, name: str) -> str:
    """How well a network trained here does on the held-out clips of its own corpus, as its training measured it."""
    path = layout.metrics_path(stage)
    if not path.is_file():
        return f"{name}: {path} is gone, which says how well it judges"
    metrics = json.loads(path.read_text())
    return (
        f"{name} on its own held-out clips: pairwise accuracy {metrics['test_pairwise_accuracy']:.2f} (chance 0.5), "
        f"offset within one frame for {metrics['test_offset_within_one_frame']:.0%}"
    )
