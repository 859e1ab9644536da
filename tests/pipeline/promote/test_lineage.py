"""The description of a registered version."""

from __future__ import annotations

from dataclasses import replace

from pipeline.cli.registry import _score
from pipeline.promote.gate import ModelScores
from pipeline.promote.lineage import version_note

SCORES = ModelScores("a" * 64, 8.0, 5.0, 20.0, {"id": "unseen", "sha256": "e"})


def test_lse_of_an_evaluator_that_cannot_judge_the_clips_is_left_out() -> None:
    assert version_note("no_lstm", SCORES, {}, "").startswith("Variant no_lstm: LSE-D 8.000, LSE-C 5.000, FID 20.00.")
    unfit = replace(SCORES, unfit="The evaluator cannot judge these clips.")
    assert version_note("no_lstm", unfit, {}, "").startswith("Variant no_lstm: FID 20.00.")
    tags = {"lse_d": "8.0", "fid": "20.0", "unfit": ""}
    assert [_score(tags, name) for name in ("lse_d", "lse_c", "fid")] == ["8.000", "-", "20.00"]
    assert [_score(tags | {"unfit": "why"}, name) for name in ("lse_d", "lse_c", "fid")] == ["-", "-", "20.00"]
