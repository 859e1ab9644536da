"""The report of a retraining."""

from __future__ import annotations

from typing import Any

import pytest

from flows import retrain_report
from flows.saved_results import SavedResults
from flows.tasks import StageResult

MODEL = {
    "version": "1",
    "lse_d": 8.0,
    "lse_c": 5.0,
    "fid": 20.0,
    "num_clips": 44,
    "num_failed": 0,
    "model_sha256": "a",
    "evaluation_digest": "d",
}
RULE = {
    "rule": "max_fid_increase",
    "metric": "FID",
    "champion": 20.0,
    "challenger": 31.0,
    "change": 11.0,
    "limit": 5.0,
    "passed": False,
    "note": "",
}


def decision(**changed: Any) -> dict[str, Any]:
    return {
        "outcome": "refused",
        "reason": "FID",
        "rules": [RULE],
        "challenger": MODEL | {"version": "2", "fid": 31.0},
        "champion": MODEL | {"num_known_clips": 0},
        "rescoring": None,
        "aliases": {"champion": "1", "challenger": "2"},
        "registered_model": "lipsmith-generator",
        "is_registry_changed": True,
    } | changed


def test_the_report_of_a_refusal_names_the_rule_and_both_figures() -> None:
    text = retrain_report.report([StageResult("train", "ran", "code", 1.0)], decision())
    assert text.startswith("# Retraining: refused: FID\n")
    assert "| max_fid_increase | FID | 31.0000 | 20.0000 | 5.0000 | **failed** | - |" in text
    assert "Registry `lipsmith-generator`: challenger = version 2, champion = version 1." in text
    assert "train  ran      0:01  -          code" in text


def test_the_report_has_the_number_of_failed_clips_of_a_first_model() -> None:
    first = MODEL | {"num_clips": 4, "num_failed": 40}
    rule = {"rule": "no_more_failed", "metric": "clips", "champion": 0, "challenger": 40, "limit": 0, "passed": False}
    rule["note"] = "why"
    text = retrain_report.report([], decision(outcome="promoted", rules=[rule], challenger=first, champion=None))
    assert "| no_more_failed | clips | 40 | 0 | 0 | **failed** | why |" in text
    assert "| challenger | 1 | 8.0000 | 5.0000 | 20.0000 | 4 (40 failed) | a | d |" in text
    unknown = MODEL | {"num_known_clips": 0, "num_clips": None, "num_failed": None}
    assert "| champion | 1 | 8.0000 | 5.0000 | 20.0000 | - | a | d |" in retrain_report.report(
        [], decision(champion=unknown)
    )


def test_the_report_has_the_drift_of_every_column() -> None:
    column = {"column": "num_bytes", "psi": 0.25, "ks": 0.5, "ks_p": 0.001, "drifts": True}
    columns = [column, column | {"column": "speaker", "ks": None, "ks_p": None, "drifts": False}]
    text = retrain_report.report([], decision(), drift={"text": "The clips drift.", "columns": columns, "stops": False})
    assert "The clips drift.\n\n| column | PSI | KS | drift |" in text
    assert "| num_bytes | 0.250 | 0.500 | yes |" in text and "| speaker | 0.250 | - | no |" in text
    assert "The clips drift" not in retrain_report.report([], decision())


@pytest.mark.parametrize(
    ("rescoring", "sentence"),
    [
        (None, ""),
        ({"cause": "its scores were missing", "fault": ""}, "The champion was scored again: its scores were missing."),
        (
            {"cause": "its scores were missing", "fault": "no file"},
            "The champion could not be scored again (its scores were missing): no file",
        ),
    ],
)
def test_the_report_states_whether_the_champion_was_scored_again(
    rescoring: dict[str, Any] | None, sentence: str
) -> None:
    text = retrain_report.report([], decision(rescoring=rescoring))
    assert sentence in text
    assert ("scored again" in text) is (rescoring is not None)


@pytest.mark.parametrize(
    ("num_known_clips", "sentence"),
    [
        (0, "The champion was trained on none of the held-out clips."),
        (3, "The champion was trained on 3 of the clips that are now held out, which can only improve its scores."),
        (None, "The champion's training clips are not recorded"),
    ],
)
def test_the_report_states_how_many_held_out_clips_the_champion_was_trained_on(
    num_known_clips: int | None, sentence: str
) -> None:
    champion = MODEL | {"num_known_clips": num_known_clips}
    assert sentence in retrain_report.report([], decision(champion=champion))
    assert sentence not in retrain_report.report([], decision(champion=champion, outcome="already_champion"))
    assert sentence not in retrain_report.report([], decision(champion=None))


def test_lse_of_an_evaluator_that_cannot_judge_the_clips_is_left_out() -> None:
    unfit = MODEL | {"unfit": "The evaluator cannot judge these clips."}
    text = retrain_report.report([], decision(challenger=unfit, champion=None))
    assert "| challenger | 1 | - | - | 20.0000 | 44 | a | d |" in text
    assert "LSE is left out. The evaluator cannot judge these clips." in text


def test_the_report_states_branch_and_commit_and_what_is_missing() -> None:
    saved = SavedResults("results", "1a2b3c4d5e6f7890", "storage")
    text = retrain_report.report([], decision(outcome="promoted"), saved=saved)
    assert "| branch | commit | dvc push |\n| --- | --- | --- |\n| results | 1a2b3c4d5e6f | storage |" in text
    assert "Warning" not in text
    text = retrain_report.report([], decision(outcome="promoted"), saved=SavedResults("results", warnings=("why",)))
    assert text.startswith("# Retraining: promoted: FID\n")
    assert "| results | none | not sent |" in text and "Warning: why." in text


def test_no_change_requires_up_to_date_stages_and_an_unchanged_registry() -> None:
    fresh, restored = StageResult("a", "up_to_date", "", 0.0), StageResult("a", "restored", "", 0.0)
    unchanged = decision(outcome="already_champion", is_registry_changed=False)
    assert retrain_report.headline([fresh], unchanged).startswith("no change")
    assert not retrain_report.headline([restored], unchanged).startswith("no change")
    assert not retrain_report.headline([fresh], decision()).startswith("no change")


def test_a_failed_stage_is_named_and_the_gate_does_not_run() -> None:
    results = [StageResult("a", "failed", "exit 1\nthe cause", 0.0), StageResult("b", "skipped", "a", 0.0)]
    text = retrain_report.report(results, None)
    assert text.startswith("# Retraining: failed: a; the gate did not run")
    assert "the cause" in text


@pytest.mark.slow
def test_a_failure_of_the_gate_is_reported_with_the_stages() -> None:
    results = [StageResult("train", "ran", "code", 1.0)]
    text = retrain_report.report(results, None, "pipeline.promote failed (exit code 2)\nno such table")
    assert text.startswith("# Retraining: the gate failed: no such table\n")
    assert "exit code 2" in text and "train  ran" in text


def test_the_report_without_the_gate_says_why_and_which_values_were_changed() -> None:
    fresh = StageResult("a", "ran", "code", 1.0)
    text = retrain_report.report([fresh], None, why_no_gate="the targets leave out b", changes=["seed: 1 -> 2"])
    assert text.startswith("# Retraining: reproduced without the gate: the targets leave out b\n")
    assert "Changed in params.yaml for this run: seed: 1 -> 2." in text
    failed = StageResult("a", "failed", "exit 1", 0.0)
    assert retrain_report.headline([failed], None, why_no_gate="x") == "failed: a; the gate did not run"
