"""Two results of scored videos: what may be compared, and the differences clip by clip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.compare.table import ClipScore
from pipeline.core.errors import UserError
from pipeline.evaluation.videos import against
from pipeline.evaluation.videos.against import EarlierResult
from pipeline.params import load_params
from tests.support.scored_videos import LIP_METRICS


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"id": "lipsmith-unseen-1", "context_px": 1}, "id was 'lipsmith-unseen-1' and is now 'a'; only results with"),
        ({"crop": "box"}, "crop was 'box' and is now 'square'; their face crops show other parts; set preprocess.crop"),
        ({"real_videos_sha256": "c"}, "the real videos differ; use the --real folder of that result"),
        ({"evaluator_sha256": "c"}, "the evaluators differ, and so do their LSE scales"),
        ({"faces_settings": {"x": 1, "y": 2}}, "faces_settings was {'y': 2} and is now {'y': 3}; score those videos"),
    ],
)
def test_results_scored_otherwise_are_told_with_a_remedy(changed: dict[str, Any], said: str) -> None:
    earlier = {"id": "a", "real_videos_sha256": "b", "evaluator_sha256": "b", "faces_settings": {"x": 1, "y": 3}}
    ours = earlier | {"crop": "square"}
    against.require_alike(ours, dict(ours), "theirs.json")
    against.require_alike(ours, earlier, "theirs.json")  # as results were before, all with square crops
    digest = earlier.pop("real_videos_sha256")
    against.require_alike(ours, earlier | {"references_sha256": digest}, "theirs.json")
    with pytest.raises(UserError, match="the real videos differ"):
        against.require_alike(ours, earlier | {"references_sha256": "c"}, "theirs.json")
    with pytest.raises(UserError, match=re.escape(said)):
        against.require_alike(ours, ours | changed, "theirs.json")
    against.require_alike(ours, ours | {"encodings": {"generated": {"vp9 yuv420p 160x160": 1}}}, "theirs.json")


def test_results_say_where_they_are_of_different_clips() -> None:
    def result(num_images: int, *lacking: str) -> dict[str, Any]:
        failures = [{"clip_id": name, "reason": ""} for name in lacking]
        return {"fid_num_images": num_images, "failures": failures, "versions": {"numpy": "2.1.0", "torch": "2.11.0"}}

    def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
        return against.protocol_differences(ours, EarlierResult(Path("theirs.json"), theirs, {}))

    assert differences(result(50, "a"), result(50, "a")) == []
    said = differences(result(30, "a", "b", "c"), result(50, "a", "z"))
    assert [line.split(",")[0] for line in said[:2]] == [
        "these videos have no score for 2 clips that the other result has",
        "theirs.json has no score for 1 clips that the other result has",
    ]
    assert said[2].startswith("FID uses 30 images here and 50 in theirs.json")
    other = result(50) | {"versions": {"numpy": "2.2.0", "torch": "2.11.0"}}
    (said_of_numpy,) = differences(result(50), other)
    assert said_of_numpy.startswith("numpy is 2.1.0 here and was 2.2.0 for theirs.json")
    other.pop("versions")  # as results were before
    assert differences(result(50), other) == []
    encoded = [result(50) | {"protocol": {"encodings": {"generated": {kind: 3}}}} for kind in ("a x 1x1", "b x 1x1")]
    assert differences(encoded[0], encoded[0]) == []
    (warning,) = differences(*encoded)
    assert warning.startswith("the generated videos are a x 1x1 (3) here and b x 1x1 (3) in theirs.json: the codec")


def clip_of(lse_d: float) -> ClipScore:
    return ClipScore(lse_d=lse_d, lse_c=3.0, offset_frames=0, mouth_jitter=1.0, real_mouth_jitter=1.0)


def test_a_difference_is_taken_clip_by_clip(repo_root: Path) -> None:
    """Clips differ by far more than the systems do; the same small gain in each is sure all the same."""
    means: dict[str, Any] = {
        "fitness": {"is_fit": True, "num_real_videos": 3, "num_within_one_frame": 3},
        "fid": 20.0,
        "kid": 0.01,
        "jitter_ratio": 0.5,
        **dict.fromkeys(LIP_METRICS),
        "within_one_frame": 1.0,
        "offset_median_frames": 0.0,
        "share_at_limit": 0.0,
        "num_short_clips": 0,
        "lse_d_valid": 4.0,
        "lse_c_valid": 2.5,
    }
    ours = {(name, name): clip_of(5.0 + 4 * (place % 2)) for place, name in enumerate("abcdefgh")}
    theirs = {name: clip_of(score.lse_d + 0.5) for name, score in ours.items()} | {("z", "z"): clip_of(1.0)}
    other = EarlierResult(Path("theirs.json"), means | {"lse_d": 6.778, "lse_c": 3.0}, theirs)
    params = load_params(repo_root / "params.yaml").compare
    table, said = against.against_table(means | {"lse_d": 7.0, "lse_c": 3.0}, ours, other, params, seed=0)
    differences = {row[0]: row[3] for row in table.cells}
    assert differences["LSE-D ↓"] == "-0.500 [-0.500, -0.500]"  # and not 7.000 - 6.778: they have one clip more
    assert differences["FID ↓"] == "+0.000"
    assert "the 8 clips that both results have" in said[0]
    assert said[1].startswith("the interval of the LSE-C difference contains 0")
    assert "LSE-C ↑, edge valid" not in differences
    shorter = means | {"lse_d": 7.0, "lse_c": 3.0, "num_short_clips": 1, "lse_c_valid": 2.0}
    rows = against.against_table(shorter, ours, other, params, seed=0)[0].cells
    assert ["LSE-C ↑, edge valid", "2.000", "2.500", "-0.500"] in rows
    table, said = against.against_table(
        means | {"lse_d": 9.0, "lse_c": 3.0}, {("a", "a"): clip_of(9.0)}, other, params, seed=0
    )
    assert {row[0]: row[3] for row in table.cells}["LSE-D ↓"] == "+3.500"
    assert said == [
        "both results have a score for only 1 clips: too few for intervals of the differences, which need 8"
    ]
