"""The promotion rules on metrics whose results are calculated by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from pipeline.core.errors import UserError
from pipeline.params import PromoteParams
from pipeline.promote.gate import ModelScores, check_rules, decide, parse_scores

EVALUATION: dict[str, Any] = {"id": "unseen", "every_n_frames": 5, "evaluator_sha256": "e", "sha256": "digest"}
CHAMPION = ModelScores("champion", lse_d=8.0, lse_c=5.0, fid=20.0, evaluation=EVALUATION)


VARIANT = "no_lstm"


def rules(max_fid_increase: float = 5.0, min_lse_d_gain: float = 0.0) -> PromoteParams:
    return PromoteParams(variant="lstm_cbam", max_fid_increase=max_fid_increase, min_lse_d_gain=min_lse_d_gain)


def challenger(**changed: Any) -> ModelScores:
    return dataclasses.replace(CHAMPION, model_sha256="challenger", **changed)


def broken(scores: ModelScores, limits: PromoteParams) -> list[str]:
    return [check.rule for check in check_rules(scores, CHAMPION, limits) if not check.passed]


@pytest.mark.parametrize(
    ("lse_d", "fid", "limits", "expected"),
    [
        (8.0, 20.0, rules(), []),  # equal metrics pass
        (8.0, 25.0, rules(), []),  # a value equal to the limit passes
        (8.0, 25.25, rules(), ["max_fid_increase"]),
        (8.25, 20.0, rules(), ["min_lse_d_gain"]),
        (7.75, 20.0, rules(min_lse_d_gain=0.5), ["min_lse_d_gain"]),
        (7.5, 20.0, rules(min_lse_d_gain=0.5), []),
        (8.25, 20.0, rules(min_lse_d_gain=-0.25), []),  # a negative gain is allowed up to the limit
        (8.5, 20.0, rules(min_lse_d_gain=-0.25), ["min_lse_d_gain"]),
        (9.0, 30.0, rules(), ["min_lse_d_gain", "max_fid_increase"]),
        (7.0, 40.0, rules(max_fid_increase=20.0), []),
    ],
)
def test_each_rule(lse_d: float, fid: float, limits: PromoteParams, expected: list[str]) -> None:
    assert broken(challenger(lse_d=lse_d, fid=fid), limits) == expected


def test_a_refusal_names_the_rule_and_both_values() -> None:
    verdict = decide(challenger(lse_d=7.5, fid=31.25), CHAMPION, rules(), VARIANT)
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
    verdict = decide(challenger(lse_d=7.0, num_failed=failed[0]), champion, rules(), VARIANT)
    assert [check.rule for check in verdict.rules if not check.passed] == expected
    assert verdict.outcome == ("refused" if expected else "promoted")
    if expected:
        assert (
            verdict.reason == "no_more_failed failed: clips without a score 40 against the champion's 0 (+40), limit 0"
        )


def test_a_better_model_is_promoted() -> None:
    assert decide(challenger(lse_d=7.5, fid=19.0), CHAMPION, rules(), VARIANT).outcome == "promoted"


def test_the_first_model_becomes_champion_with_any_metrics() -> None:
    assert decide(challenger(lse_d=99.0, fid=999.0), None, rules(), VARIANT).outcome == "promoted"


def test_the_same_weights_are_not_compared_again() -> None:
    again = dataclasses.replace(CHAMPION, lse_d=9.0, evaluation={**EVALUATION, "sha256": "other"})
    assert decide(again, CHAMPION, rules(), VARIANT).outcome == "already_champion"


@pytest.mark.parametrize("changed", [{"evaluator_sha256": "f"}, {"every_n_frames": 1}, {"new_key": 1}])
def test_metrics_of_different_evaluations_are_not_compared(changed: dict[str, Any]) -> None:
    evaluation = EVALUATION | changed | {"sha256": "other"}
    verdict = decide(challenger(lse_d=1.0, evaluation=evaluation), CHAMPION, rules(), VARIANT)
    assert verdict.outcome == "not_comparable"
    assert f"(differing: {next(iter(changed))})" in verdict.reason
    assert "`python -m pipeline.promote --variant no_lstm --force`" in verdict.reason
    assert verdict.rules == ()
    unscored = decide(challenger(lse_d=1.0, evaluation=evaluation), CHAMPION, rules(), VARIANT, "no such file")
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
    assert parse_scores(METRICS, "champion", "m.json") == dataclasses.replace(CHAMPION, num_clips=3, num_failed=1)


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
