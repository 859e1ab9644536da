"""The one metric that shows the result of a finished stage."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.core.layout import Layout

_CLIPS = "{num_clips} clips"
_ACCURACY = "pairwise accuracy {test_pairwise_accuracy:.3f}"
_TEXTS = {
    # Stage -> text with the keys of its metrics.json.
    "download": _CLIPS,
    "preprocess": _CLIPS,
    "sync_filter": _CLIPS,
    "train_syncnet": _ACCURACY,
    "train_evaluator": _ACCURACY,
    "train_gan": "L1 {val_l1:.4f}",
    "evaluate": "LSE-D {lse_d:.2f}, LSE-C {lse_c:.2f}",
}
_UNFIT = "FID {fid:.2f}; the evaluator cannot judge the clips"
"""Text of an evaluation whose LSE means nothing."""
_MODULES = {"evaluate_bound": "evaluate"}
"""Stage of ``dvc.yaml`` -> the stage whose folder has its results, where the two differ."""


def key_figure(root: Path, stage: str) -> str:
    """The key metric of a finished stage from its ``metrics.json``, such as ``L1 0.0312``; empty if it has none."""
    name, _, variant = stage.partition("@")
    name = _MODULES.get(name, name)
    if name not in _TEXTS:
        return ""
    try:
        metrics = json.loads(Layout(root).metrics_path(name, variant or None).read_text())
        if metrics.get("fitness", {}).get("is_fit") is False:
            return _UNFIT.format_map(metrics)
        return _TEXTS[name].format_map(metrics)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
