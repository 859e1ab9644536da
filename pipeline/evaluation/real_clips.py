"""Where the evaluator places the real clips of an evaluation, kept on disk for all rows that share its protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.compare.fitness import RealVideos
from pipeline.core import atomic
from pipeline.core.artifacts import read_json
from pipeline.evaluation.score import VariantScore


def place_real_clips(folder: Path, protocol_sha256: str, score_real: Callable[[], VariantScore]) -> RealVideos:
    """How many real clips the evaluator places in sync.

    ``folder``: scratch space. The first row of a protocol calls ``score_real``, the scores of the row `real`; the
    others read its result. Several processes may share the folder.
    """
    path = folder / f"real-{protocol_sha256}.json"
    if not path.is_file():
        offsets = [lse.offset_frames for _, lse in score_real().scored]
        atomic.write_json(path, {"offsets_frames": offsets})
    return RealVideos.placed_at(read_json(path)["offsets_frames"])
