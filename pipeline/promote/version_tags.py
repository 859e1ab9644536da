"""The tags of a registered version that hold the metrics of its latest evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.promote.gate import ModelScores

_OPTIONAL_TAGS = {"num_clips": int, "num_failed": int, "within_one_frame": float, "jitter_ratio": float, "unfit": str}
"""Tags that older versions lack, with their types."""


def scores_of(tags: Mapping[str, str]) -> ModelScores:
    """The metrics in a version's tags. Raises KeyError or ValueError for tags that `tags_of` did not make."""
    return ModelScores(
        model_sha256=tags["model_sha256"],
        lse_d=float(tags["lse_d"]),
        lse_c=float(tags["lse_c"]),
        fid=float(tags["fid"]),
        evaluation=json.loads(tags["evaluation"]),
        **{name: read(tags[name]) for name, read in _OPTIONAL_TAGS.items() if name in tags},
    )


def tags_of(scores: ModelScores) -> dict[str, str]:
    """The tags of a version with these metrics."""
    return {
        "model_sha256": scores.model_sha256,
        "lse_d": repr(scores.lse_d),
        "lse_c": repr(scores.lse_c),
        "fid": repr(scores.fid),
        "evaluation": json.dumps(scores.evaluation, sort_keys=True),
        "evaluation_digest": scores.evaluation_digest,
        **{name: str(value) for name in _OPTIONAL_TAGS if (value := getattr(scores, name)) is not None},
    }
