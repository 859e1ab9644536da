"""The promotion rules on metrics whose results are calculated by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from pipeline.core.errors import UserError
from pipeline.params import CompareParams, PromoteParams
from pipeline.promote.gate import GateDecision, ModelScores, Resampling, check_rules, parse_scores
from pipeline.promote.gate import decide as decide_with

EVALUATION: dict[str, Any] = {"id": "unseen", "every_n_frames": 5, "evaluator_sha256": "e", "sha256": "digest"}
NUM_VIDEOS = 10
RESAMPLING = Resampling(CompareParams(confidence=0.95, num_resamples=200), seed=1)


def by_video(mean: float, *, spread: float = 0.0, num: int = NUM_VIDEOS) -> dict[str, float]:
    """LSE-D of ``num`` videos around a mean; half of them above it and half below."""
    return {f"v{number}": mean + (spread if number % 2 else -spread) for number in range(num)}


CHAMPION = ModelScores(
    "champion", lse_d=8.0, lse_c=5.0, fid=20.0, evaluation=EVALUATION, lse_d_by_video=by_video(8.0, spread=1.0)
)

VARIANT = "no_lstm"


def rules(max_fid_increase: float = 5.0, min_lse_d_gain: float = 0.0) -> PromoteParams:
    return PromoteParams(
        variant="lstm_cbam",
        max_fid_increase=max_fid_increase,
        min_lse_d_gain=min_lse_d_gain,
        max_within_one_frame_drop=0.0625,
        max_jitter_increase=0.25,
        branch=None,
    )


def challenger(lse_d: float = 8.0, **changed: Any) -> ModelScores:
    """A model whose LSE-D differs from the champion's by the same amount in every video."""
    scores = {"lse_d": lse_d, "lse_d_by_video": by_video(lse_d, spread=1.0)} | changed
    return dataclasses.replace(CHAMPION, model_sha256="challenger", **scores)


def decide(scores: ModelScores, champion: ModelScores | None, *further: Any) -> GateDecision:
    return decide_with(scores, champion, rules(), RESAMPLING, VARIANT, *further)


def broken(scores: ModelScores, limits: PromoteParams, champion: ModelScores = CHAMPION) -> list[str]:
    return [check.rule for check in check_rules(scores, champion, limits, RESAMPLING) if not check.passed]


@pytest.mark.parametrize(
    ("lse_d", "fid", "limits", "expected"),
    [
        (8.0, 20.0, rules(), ["min_lse_d_gain"]),  # equal metrics are no gain
        (7.5, 25.0, rules(), []),  # a value equal to the limit passes
        (7.5, 25.25, rules(), ["max_fid_increase"]),
        (8.25, 20.0, rules(), ["min_lse_d_gain"]),
        (7.75, 20.0, rules(min_lse_d_gain=0.5), ["min_lse_d_gain"]),
        (7.5, 20.0, rules(min_lse_d_gain=0.5), []),
        (7.5, 20.0, rules(min_lse_d_gain=0.25), []),
        (8.125, 20.0, rules(min_lse_d_gain=-0.25), []),  # a negative gain is allowed up to the limit
        (8.5, 20.0, rules(min_lse_d_gain=-0.25), ["min_lse_d_gain"]),
        (9.0, 30.0, rules(), ["min_lse_d_gain", "max_fid_increase"]),
        (7.0, 40.0, rules(max_fid_increase=20.0), []),
    ],
)
def test_each_rule(lse_d: float, fid: float, limits: PromoteParams, expected: list[str]) -> None:
    assert broken(challenger(lse_d=lse_d, fid=fid), limits) == expected


@pytest.mark.parametrize(("spread", "is_gain"), [(0.0, True), (0.5, False)])
def test_a_gain_whose_interval_holds_0_is_no_gain(spread: float, is_gain: bool) -> None:
    """The mean gain is 0.125 in both cases. In the second one it is -0.375 in half of the videos."""
    changes = by_video(-0.125, spread=spread)
    scores = {name: value + changes[name] for name, value in by_video(8.0, spread=1.0).items()}
    (gain,) = (c for c in check_rules(challenger(7.875, lse_d_by_video=scores), CHAMPION, rules(), RESAMPLING)[:1])
    assert gain.rule == "min_lse_d_gain" and gain.passed is is_gain
    assert gain.change == pytest.approx(-0.125)
    assert ("which contains 0" in gain.note) is not is_gain
    assert "LSE-D 7.875 against the champion's 8 (-0.125), limit 0, 95 % interval of the change" in str(gain)


@pytest.mark.parametrize("num", [0, 7])
def test_too_few_shared_videos_show_no_gain(num: int) -> None:
    """However large the difference is: a mean over 3 clips once promoted a model by 8e-05."""
    few = challenger(1.0, lse_d_by_video=by_video(1.0, num=num))
    verdict = decide(few, CHAMPION)
    assert verdict.outcome == "refused"
    assert f"no interval: both models have scores of {num} videos, and 8 are required" in verdict.reason


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"within_one_frame": 0.75}, []),
        ({"within_one_frame": 0.6875}, []),
        ({"within_one_frame": 0.625}, ["max_within_one_frame_drop"]),
        ({"jitter_ratio": 1.25}, []),
        ({"jitter_ratio": 1.5}, ["max_jitter_increase"]),
        ({"within_one_frame": None, "jitter_ratio": None}, []),  # older versions do not record them
    ],
)
def test_sync_share_and_jitter_are_bounded(changed: dict[str, Any], expected: list[str]) -> None:
    champion = dataclasses.replace(CHAMPION, within_one_frame=0.75, jitter_ratio=1.0)
    scores = {"within_one_frame": 0.75, "jitter_ratio": 1.0} | changed
    assert broken(challenger(7.0, **scores), rules(), champion) == expected


def test_lse_is_not_compared_if_the_evaluator_cannot_judge_the_clips() -> None:
    """A challenger with a better LSE-D and share is not promoted, and the other rules are still applied."""
    champion = dataclasses.replace(CHAMPION, within_one_frame=0.1)
    unfit = challenger(1.0, unfit="The evaluator cannot judge these clips: it places 3 %.", within_one_frame=0.9)
    verdict = decide(unfit, champion)
    assert verdict.outcome == "not_comparable"
    assert verdict.reason.startswith("LSE is not compared: The evaluator cannot judge these clips: it places 3 %. To ")
    assert "--variant no_lstm --force" in verdict.reason
    assert [check.rule for check in verdict.rules] == ["max_fid_increase"]
    worse = decide(dataclasses.replace(unfit, fid=40.0), champion)
    assert worse.outcome == "refused" and worse.reason.startswith("max_fid_increase failed")


def test_a_refusal_names_the_rule_and_both_values() -> None:
    verdict = decide(challenger(lse_d=7.5, fid=31.25), CHAMPION)
    assert verdict.outcome == "refused"
    assert verdict.reason == ("max_fid_increase failed: FID 31.25 against the champion's 20 (+11.25), limit 5")
    assert [check.passed for check in verdict.rules] == [True, False]


@pytest.mark.parametrize(
    ("failed", "expected"),
    [((40, 0), ["no_more_failed"]), ((2, 2), []), ((0, 3), []), ((40, None), []), ((None, 0), [])],
)
def test_a_model_that_fails_on_more_clips_is_refused(
    failed: tuple[int | None, int | None], expected: list[str]
) -> None:
    """Even if its metrics on the other clips are better. Without a count of the champion the rule is skipped."""
    champion = dataclasses.replace(CHAMPION, num_failed=failed[1])
    verdict = decide(challenger(lse_d=7.0, num_failed=failed[0]), champion)
    assert [check.rule for check in verdict.rules if not check.passed] == expected
    assert verdict.outcome == ("refused" if expected else "promoted")
    if expected:
        assert (
            verdict.reason == "no_more_failed failed: clips without a score 40 against the champion's 0 (+40), limit 0"
        )


def test_a_better_model_is_promoted() -> None:
    assert decide(challenger(lse_d=7.5, fid=19.0), CHAMPION).outcome == "promoted"


def test_the_first_model_becomes_champion_with_any_metrics() -> None:
    assert decide(challenger(lse_d=99.0, fid=999.0), None).outcome == "promoted"


def test_the_same_weights_are_not_compared_again() -> None:
    again = dataclasses.replace(CHAMPION, lse_d=9.0, evaluation={**EVALUATION, "sha256": "other"})
    assert decide(again, CHAMPION).outcome == "already_champion"


@pytest.mark.parametrize("changed", [{"evaluator_sha256": "f"}, {"every_n_frames": 1}, {"new_key": 1}])
def test_metrics_of_different_evaluations_are_not_compared(changed: dict[str, Any]) -> None:
    evaluation = EVALUATION | changed | {"sha256": "other"}
    verdict = decide(challenger(lse_d=1.0, evaluation=evaluation), CHAMPION)
    assert verdict.outcome == "not_comparable"
    assert f"(differing: {next(iter(changed))})" in verdict.reason
    assert "`python -m pipeline.promote --variant no_lstm --force`" in verdict.reason
    assert verdict.rules == ()
    unscored = decide(challenger(lse_d=1.0, evaluation=evaluation), CHAMPION, "no such file")
    assert "the champion could not be scored again: no such file. To promote" in unscored.reason


METRICS: dict[str, Any] = {
    "lse_d": 8,
    "lse_c": 5.0,
    "fid": 20.0,
    "num_clips": 3,
    "num_failed": 1,
    "generator_sha256": "champion",
    "protocol": EVALUATION,
}


def test_scores_are_read_from_the_metrics() -> None:
    expected = dataclasses.replace(CHAMPION, num_clips=3, num_failed=1, lse_d_by_video=None)
    assert parse_scores(METRICS, "champion", "m.json") == expected
    more = {"within_one_frame": 0.5, "jitter_ratio": 1.5, "lse_d_by_video": {"v": 8.0}}
    assert parse_scores(METRICS | more, "champion", "m.json") == dataclasses.replace(expected, **more)
    for is_fit, unfit in ((False, "It places few."), (True, ""), (None, "")):
        fitness = {"fitness": {"is_fit": is_fit, "text": "It places few."}}
        assert parse_scores(METRICS | fitness, "champion", "m.json").unfit == unfit


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({k: v for k, v in METRICS.items() if k != "protocol"}, r"m\.json lacks protocol\.sha256"),
        (METRICS | {"protocol": {"id": "unseen"}}, r"m\.json lacks protocol\.sha256"),
        (METRICS | {"fid": math.nan}, r"m\.json: fid is nan, but the gate needs finite numbers"),
        (METRICS | {"lse_d": None}, r"m\.json: lse_d is None, but the gate needs finite numbers"),
        (
            METRICS | {"generator_sha256": "older"},
            r"is of model older, but the model on disk is champion; run `dvc repro`",
        ),
    ],
)
def test_unusable_metrics_are_refused(metrics: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_scores(metrics, "champion", "m.json")
