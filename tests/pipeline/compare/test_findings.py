"""Findings of comparisons with known scores: the answers, their order, and what is left unsaid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pipeline.compare.findings import Findings, findings_of
from tests.support.comparison_rows import ORDERED, comparison_of, row


def found_in(rows: Sequence[Mapping[str, Any]], evaluator: str = "trained") -> Findings:
    return findings_of(comparison_of(rows, evaluator))


def test_the_answers_are_fitness_then_the_unchanged_video_then_the_best() -> None:
    found = found_in(ORDERED, "judge-1")
    assert found.answers == [
        "The evaluator judge-1 can judge these clips: it places 90% of the real videos within one frame of sync (at "
        "least 80% are required), and LSE-C is 6.000 for `real` and 1.000 for `copy_input`, the same videos with the "
        "audio of another clip.",
        "Clearly better than the unchanged video `copy_input` on LSE-D (9.000) and LSE-C (1.000): all 4 generators.",
        "Best on LSE-D: `lstm_cbam` (6.500), before `no_lstm` (7.000). The lead is established (one seed).",
        "Best on LSE-C: `lstm_cbam` (5.000), before `no_cbam` (4.100). The lead is established (one seed).",
        "Best on FID: `no_lstm` (20.00), before `no_cbam` (20.00). The lead is not established: FID has no interval.",
    ]
    assert found.paper == [
        "The paper ranks the network with LSTM and CBAM first, those with one of the two next, and the one with "
        "neither last. On LSE-D and LSE-C this holds (one seed)."
    ]
    assert any("LSE-D and LSE-C come from judge-1" in line for line in found.caveats)


@pytest.mark.parametrize("changed", [{"within_one_frame": 0.3}, {"lse_d": 9.4}, {"lse_c": 0.9}])
def test_if_the_evaluator_cannot_judge_only_its_fitness_is_about_sync(changed: dict[str, float]) -> None:
    rows = [r | changed if r["variant"] == "real" else r for r in ORDERED]
    found = found_in(rows)
    assert found.fitness.is_unfit
    assert found.answers[0].startswith("The evaluator trained in this checkout cannot judge these clips: ")
    assert "Do not use its LSE values. In params.yaml, raise train_evaluator.num_steps" in found.answers[0]
    assert found.against_copy == [] and found.paper == []
    assert [line.split(":")[0] for line in found.best] == ["Best on FID"]
    assert not any("LSE" in line for line in (*found.best, *found.caveats))
    assert found.caveats


def test_generators_with_a_still_mouth_are_named_last_and_left_out_of_the_ranking() -> None:
    still = ("lstm_cbam", "no_lstm_cbam")
    found = found_in([r | {"jitter_ratio": 0.012} if r["variant"] in still else r for r in ORDERED])
    assert found.answers[-1] == (
        "The mouth hardly moves (jitter under 5% of the real videos') with `lstm_cbam` (1.2%), `no_lstm_cbam` (1.2%). "
        "Sync scores and FID of a still mouth say nothing about lip sync, so all other findings leave these generators "
        "out."
    )
    assert found.paper == []  # its order concerns all four arms
    assert found.against_copy[0].endswith("(1.000): all 2 generators whose mouth moves.")
    assert not any(name in line for line in (*found.against_copy, *found.best) for name in still)


def test_if_all_mouths_are_still_no_generator_is_best() -> None:
    found = found_in([r | {"jitter_ratio": 0.0} for r in ORDERED])
    assert len(found.still) == 1 and found.against_copy == [] and found.best == []


def test_generators_that_are_better_only_unclearly_or_not_at_all_are_told_apart() -> None:
    rows = [
        row("real", 6.0, 6.0),
        row("lstm_cbam", 6.5, 1.1),
        row("no_lstm", 7.0, 3.0),
        row("no_cbam", 8.9, 0.9),
        row("copy_input", 9.0, 1.0),
    ]
    assert found_in(rows).against_copy == [
        "Clearly better than the unchanged video `copy_input` on LSE-D (9.000): `lstm_cbam`, `no_lstm`. Ahead, but not "
        "clearly, because the difference may be 0: `no_cbam`.",
        "Clearly better than the unchanged video `copy_input` on LSE-C (1.000): `no_lstm`. Ahead, but not clearly, "
        "because the difference may be 0: `lstm_cbam`. Not better: `no_cbam`.",
    ]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((9.5, 9.6), "none. Not better: all 2 generators."),
        (
            (9.0, 8.9),
            "none. Ahead, but not clearly, because the difference may be 0: `no_lstm`. Not better: `lstm_cbam`.",
        ),
        ((8.9, 8.9), "none. Ahead, but not clearly, because the difference may be 0: all 2 generators."),
    ],
)
def test_no_generator_that_beats_the_unchanged_video_is_said_so(scores: tuple[float, float], said: str) -> None:
    rows = [row("real", 6.0, 6.0), row("copy_input", 9.0, 1.0)]
    rows += [row(name, lse_d, 3.0) for name, lse_d in zip(("lstm_cbam", "no_lstm"), scores, strict=True)]
    line = found_in(rows).against_copy[0]
    assert line == f"Clearly better than the unchanged video `copy_input` on LSE-D (9.000): {said}"


def test_most_generators_are_named_by_the_others() -> None:
    rows = [r | {"lse_d": 9.5, "lse_c": 0.5} if r["variant"] == "no_lstm_cbam" else r for r in ORDERED]
    (line,) = found_in(rows).against_copy
    assert line.endswith("(1.000): all generators but `no_lstm_cbam`. Not better: `no_lstm_cbam`.")


@pytest.mark.parametrize(("gap", "is_established"), [(0.05, False), (1.0, True)])
def test_the_lead_of_the_best_is_established_only_if_the_interval_leaves_0_out(
    gap: float, is_established: bool
) -> None:
    rows = [row("real", 6.0, 6.0), row("lstm_cbam", 8.0 - gap, 3.0), row("no_lstm", 8.0, 2.0)]
    line = found_in(rows).best[0]
    assert line.startswith(f"Best on LSE-D: `lstm_cbam` ({8.0 - gap:.3f}), before `no_lstm` (8.000). The lead is ")
    assert line.endswith("is established (one seed)." if is_established else "is not established: it may be 0.")


def test_an_only_generator_has_no_lead() -> None:
    rows = [row("real", 6.0, 6.0), row("lstm_cbam", 6.5, 5.0), row("copy_input", 9.0, 1.0)]
    assert found_in(rows).best[0] == "Best on LSE-D: `lstm_cbam` (6.500), the only generator."
    assert found_in(rows).against_copy[0].endswith("(1.000): `lstm_cbam`.")


def test_generators_clearly_better_than_real_video_are_told_with_the_fitness() -> None:
    rows = [row("real", 6.0, 6.0), row("lstm_cbam", 6.5, 7.0), row("no_lstm", 6.5, 6.1), row("copy_input", 9.0, 1.0)]
    text = found_in(rows).fitness.text
    assert text.endswith(
        "But these are clearly better than `real` on LSE-C (6.000): `lstm_cbam`. Real videos should be best, so a "
        "better LSE-C does not mean better lips here."
    )  # the lead of no_lstm may be 0
    assert "clearly better than `real` on LSE-D" not in text
    assert "clearly better than `real`" not in found_in(ORDERED).fitness.text


def test_says_where_the_order_breaks() -> None:
    rows = [r | {"lse_c": 0.5} if r["variant"] == "lstm_cbam" else r for r in ORDERED]
    broken = "`lstm_cbam` is not better than `no_lstm` and `no_cbam`"
    assert f"On LSE-D this holds; on LSE-C this does not hold: {broken} (one seed)." in found_in(rows).paper[0]


def test_baselines_are_compared_by_every_figure() -> None:
    assert "baselines" not in "\n".join(found_in(ORDERED).paper)
    baselines = [row("wav2lip", 6.55, 5.5), row("lipgan", 9.5, 2.0, 40.0), row("speech2vid", 11.0, 0.5, 60.0)]
    text = found_in([*ORDERED, *baselines]).paper[1]
    assert text.startswith(
        "`lstm_cbam` against the baselines of the paper's Table 1: on LSE-D ahead of `wav2lip`, `lipgan`, "
        "`speech2vid`; on LSE-C ahead of `lipgan`, `speech2vid` and behind `wav2lip`; on FID ahead of `lipgan`, "
    )
    assert text.count("not established") == 1
    assert "On LSE-D its lead over `wav2lip` is not established: it may be 0." in text
    text = found_in([*ORDERED, row("wav2lip", 6.1, 5.5), row("lipgan", 6.2, 5.6)]).paper[1]
    assert "on LSE-D behind `wav2lip`, `lipgan`; on LSE-C behind" in text and "not established" not in text


def test_a_baseline_with_the_same_score_is_neither_ahead_nor_behind() -> None:
    rows = [row("real", 6.0, 6.0), row("lstm_cbam", 7.0, 5.0), row("wav2lip", 7.0, 4.0)]
    (text,) = found_in(rows).paper
    assert text.startswith(
        "`lstm_cbam` against the baseline of the paper's Table 1: on LSE-D equal; on LSE-C ahead of "
    )


def test_findings_are_about_means_over_seeds() -> None:
    again = [
        row("lstm_cbam-2", 7.5, 2.0, 35.0, repeats="lstm_cbam"),
        row("lstm_cbam-3", 7.0, 3.5, 30.0, repeats="lstm_cbam"),
    ]
    found = found_in([*ORDERED, *again])
    text = found.paper[0]
    assert (
        "On LSE-D this does not hold: `lstm_cbam` is not better than `no_lstm`; on LSE-C this does not hold: " in text
    )
    assert "(means over 1 to 3 seeds)" in text
    assert found.best[0].startswith("Best on LSE-D: `lstm_cbam` (7.000), before `no_lstm` (7.000). ")
    assert found.best[1].startswith("Best on LSE-C: `no_cbam` (4.100), before `no_lstm` (4.000). ")


@pytest.mark.parametrize(("gap", "is_doubtful"), [(0.05, True), (1.0, False)])
def test_an_order_that_may_be_none_is_called_not_established(gap: float, is_doubtful: bool) -> None:
    by_name = {r["variant"]: r for r in ORDERED}
    both = row("lstm_cbam", by_name["no_lstm"]["lse_d"] - gap, 5.0)
    text = found_in([both if r["variant"] == "lstm_cbam" else r for r in ORDERED]).paper[0]
    said = "this holds, but the difference may be 0 between `no_lstm` and `lstm_cbam`"
    assert (said in text) is is_doubtful
    assert ("On LSE-D and LSE-C this holds (" in text) is not is_doubtful


def test_without_intervals_nothing_is_established() -> None:
    found = findings_of(comparison_of(ORDERED) | {"differences": {}})
    assert "On LSE-D and LSE-C this holds, but the difference may be 0 between" in found.paper[0]
    assert all("is not established" in line for line in found.best)
    assert all(": none. Ahead, but not clearly" in line for line in found.against_copy)
